"""Ranks: places in an order, which rankers of different units have in common."""

from __future__ import annotations

import numpy as np

from outtakes.shapes import Float


def ranks(values: Float[np.ndarray, "F"]) -> Float[np.ndarray, "F"]:
    """Rank of each value, 1 for the smallest; equal values share the mean of their places."""
    _, group, size = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(size)
    return (last - (size - 1) / 2)[group]

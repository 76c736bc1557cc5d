"""How much a policy revises what it meant to do: plans that do not hold are a sign of trouble.

The idea of temporal consistency, as in STAC (Agia et al. 2024, arXiv 2410.04640), in its plainest
form.
"""

from __future__ import annotations

import numpy as np

from outtakes.monitoring.signal import Signal
from outtakes.policy.decision import Decision


class Revision(Signal):
    """Mean absolute difference between a chunk and what the chunk before meant for the same steps.

    In the units of the actions. NaN at the first query, and where chunks do not overlap.
    """

    name = "revision"

    def at(self, decision: Decision) -> np.ndarray:
        """(n,) over the steps that both chunks speak of."""
        before = decision.previous
        if before is None:
            return np.full(len(decision.chunk), np.nan)
        meant = before.chunk[:, decision.step - before.step :]
        if not meant.shape[1]:
            return np.full(len(decision.chunk), np.nan)
        now = decision.chunk[:, : meant.shape[1]]
        return np.abs(now - meant).mean(axis=(1, 2), dtype=np.float64)

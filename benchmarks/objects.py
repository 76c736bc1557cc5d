"""Demonstrations to measure on: Lift's sizes, no disk, no simulator."""

from __future__ import annotations

import numpy as np

from outtakes.data.demo import DemoSet

STATE, ENVIRONMENT_STATE, ACTION = 14, 7, 7
"""Sizes of the vectors of the Lift task."""


def make_demos(
    count: int = 100, frames: int = 60, *, cameras: tuple[str, ...] = (), image_size: int = 224
) -> DemoSet:
    """`count` demonstrations of so many frames each, the first half successes."""
    rng = np.random.default_rng(0)
    rows = count * frames
    size = (image_size, image_size, 3)
    return DemoSet(
        name="benchmark",
        content_hash="benchmark",
        fps=20.0,
        episode_indices=np.arange(count),
        successes=np.arange(count) < count // 2,
        starts=np.arange(count + 1) * frames,
        state=_walk(rng, rows, STATE),
        environment_state=_walk(rng, rows, ENVIRONMENT_STATE),
        action=_walk(rng, rows, ACTION),
        images={c: rng.integers(0, 256, (rows, *size), dtype=np.uint8) for c in cameras},
        tasks=("lift the red cube",) * count,
    )


def _walk(rng: np.random.Generator, rows: int, size: int) -> np.ndarray:
    """Smooth numbers, as a robot's are."""
    return (rng.normal(size=(rows, size)).cumsum(axis=0) / 10).astype(np.float32)

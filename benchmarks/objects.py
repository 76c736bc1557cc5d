"""Demonstrations to measure on: Lift's sizes, no disk, no simulator."""

from __future__ import annotations

import numpy as np

from outtakes.data.demo import DemoSet

STATE, ENVIRONMENT_STATE, ACTION = 14, 7, 7
"""Sizes of the vectors of the Lift task."""


def make_demos(
    count: int = 100,
    frames: int | np.ndarray = 60,
    *,
    failures: int | None = None,
    cameras: tuple[str, ...] = (),
    image_size: int = 224,
) -> DemoSet:
    """`count` demonstrations, of which the last ones failed.

    Args:
        count: how many.
        frames: of each, or (count,) of one after the other.
        failures: half of them when None.
        cameras: names of those that filmed noise.
        image_size: side of the frames, pixels.
    """
    rng = np.random.default_rng(0)
    starts = np.concatenate([[0], np.cumsum(np.broadcast_to(frames, count))])
    rows, size = int(starts[-1]), (image_size, image_size, 3)
    failed = count // 2 if failures is None else failures
    return DemoSet(
        name="benchmark",
        content_hash="benchmark",
        fps=20.0,
        episode_indices=np.arange(count),
        successes=np.arange(count) < count - failed,
        starts=starts[:-1],
        lengths=np.diff(starts),
        state=_walk(rng, rows, STATE),
        environment_state=_walk(rng, rows, ENVIRONMENT_STATE),
        action=_walk(rng, rows, ACTION),
        images={c: rng.integers(0, 256, (rows, *size), dtype=np.uint8) for c in cameras},
        tasks=("lift the red cube",) * count,
    )


def _walk(rng: np.random.Generator, rows: int, size: int) -> np.ndarray:
    """Smooth numbers, as a robot's are."""
    return (rng.normal(size=(rows, size)).cumsum(axis=0) / 10).astype(np.float32)

"""What demonstrations observe, as vectors that rankers without a policy compare.

Each dimension is standardised as in training, by the moments of the successes' frames, so that a
distance is in standard deviations (σ) of what successes observe.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from outtakes.data.demo import DemoSet
from outtakes.data.normalize import Moments
from outtakes.errors import DatasetError
from outtakes.policy.eyes.frozen import FrozenEyes
from outtakes.policy.eyes.sight import Sight
from outtakes.shapes import Float


def observed(demos: DemoSet, successes: DemoSet) -> Float[np.ndarray, "frames D"]:
    """State and environment state of every frame, standardised; the demonstrations one after the
    other.

    Where frozen eyes have looked, what they see stands in place of the environment state, as in
    training.

    Raises:
        DatasetError: when the dataset has neither.
    """
    if demos.features:
        sight = Sight.fit(FrozenEyes(cameras=tuple(demos.features)), successes)
        demos, successes = sight.seen(demos), sight.seen(successes)
    vectors = _raw(demos)
    if not vectors.shape[1]:
        raise DatasetError(
            "neither state nor environment state to compare demonstrations by",
            where=demos.name,
            remedy="rank by trained runs, for example by action-error",
        )
    moments = Moments.of(_raw(successes))
    return moments.standardise(torch.from_numpy(vectors)).numpy()


def _raw(demos: DemoSet) -> np.ndarray:
    rows = demos.rows()
    return np.concatenate([demos.state[rows], demos.environment_state[rows]], axis=1)


def by_demonstration(values: np.ndarray, demos: DemoSet) -> Sequence[np.ndarray]:
    """Values of all frames -> those of each demonstration, (T, ...)."""
    return np.split(values, demos.packed_starts()[1:])


def resampled(
    values: Float[np.ndarray, "frames D"], demos: DemoSet, steps: int
) -> Float[np.ndarray, "N steps D"]:
    """Each demonstration at so many moments from its first frame to its last, between frames
    linearly: all take the same time."""
    places = np.linspace(0, demos.lengths - 1, steps, axis=1)
    before = places.astype(np.int64)
    after = np.minimum(before + 1, demos.lengths[:, None] - 1)
    starts, share = demos.packed_starts()[:, None], (places - before)[..., None]
    return (1 - share) * values[starts + before] + share * values[starts + after]


def mean_over_time(values: Float[np.ndarray, "frames"], demos: DemoSet) -> Float[np.ndarray, "N"]:
    """Mean over the frames of each demonstration."""
    return np.add.reduceat(values.astype(np.float64), demos.packed_starts()) / demos.lengths

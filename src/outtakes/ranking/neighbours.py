"""Distance to what the successes observed, whenever they did: what a failure shows that no success
does.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from outtakes.data.demo import DemoSet
from outtakes.progress import Progress
from outtakes.ranking.measure import Measure, Needs
from outtakes.ranking.ranker import DatasetRanker, RunScores, apart
from outtakes.ranking.vectors import by_demonstration, observed
from outtakes.shapes import Float

_AT_ONCE = 512
"""Frames whose distances to all frames of the successes are held at once."""


class NeighboursRanker(DatasetRanker):
    """Mean distance of a failure's frames from its k nearest successes at each.

    d(f) = mean over t of the mean over the k nearest successes s of min over t' of
    ‖z(o_tᶠ) − z(o_t'ˢ)‖. Neither end of it knows time: at half the speed, failures and successes
    keep their distances.

    Args:
        k: successes that each frame is compared with.
    """

    measure = Measure(
        key="neighbours",
        name="distance from the successes' paths",
        symbol="d",
        unit="σ",
        meaning="How far what one failure observes is from what the nearest successes observed at "
        "any time, averaged over its frames, in standard deviations of what the successes "
        "observe (σ). Small means that it stays where successes have been.",
        needs=Needs.DATASET,
        over_time="distance of each frame from the nearest successes",
    )

    def __init__(self, k: int = 3) -> None:
        self.k = k

    def score(self, demos: DemoSet, *, progress: Progress | None = None) -> RunScores:
        """Score every failure.

        Raises:
            DatasetError: when there is no success, no failure or no state.
        """
        successes, failures = apart(demos)
        paths, starts = as_paths(observed(successes, successes)), successes.packed_starts()
        asked = by_demonstration(observed(failures, successes), failures)
        nearest, over_time = min(self.k, len(successes)), []
        distances = np.empty((len(failures), len(successes)), dtype=np.float32)
        for i, frames in enumerate(asked):
            to_each = np.concatenate(
                [
                    path_distances(frames[first : first + _AT_ONCE], paths, starts)
                    for first in range(0, len(frames), _AT_ONCE)
                ]
            )
            distances[i] = to_each.mean(axis=0)
            over_time.append(np.partition(to_each, nearest - 1)[:, :nearest].mean(axis=1))
            if progress:
                progress(i + 1, len(asked), "rank")
        scores = RunScores.of(failures, successes, np.array([own.mean() for own in over_time]))
        return replace(scores, distances=distances, over_time=over_time)


def path_distances(
    asked: Float[np.ndarray, "Q D"], paths: Float[np.ndarray, "D1 R"], starts: np.ndarray
) -> Float[np.ndarray, "Q S"]:
    """Distance of each row from the nearest frame of every path.

    Below about 0.005 it is rounding, as frames that are nearly the same cancel.

    Args:
        asked: frames.
        paths: from `as_paths`.
        starts: (S,) first frame of each path.
    """
    products = np.hstack([asked, np.ones((len(asked), 1), asked.dtype)]) @ paths
    squares = np.minimum.reduceat(products, starts, axis=1)
    return np.sqrt(np.maximum(squares + np.square(asked).sum(axis=1)[:, None], 0))


def as_paths(known: Float[np.ndarray, "R D"]) -> Float[np.ndarray, "D1 R"]:
    """[−2b, ‖b‖²] of every frame b: what [a, 1] is multiplied by for ‖a − b‖² − ‖a‖²."""
    return np.hstack([-2 * known, np.square(known).sum(axis=1, keepdims=True)]).T.copy()

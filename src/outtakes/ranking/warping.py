"""Distance from the successes' courses, by dynamic time warping: in their order, at any pace."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from outtakes.data.demo import DemoSet
from outtakes.progress import Progress
from outtakes.ranking.measure import Measure, Needs
from outtakes.ranking.ranker import DatasetRanker, RunScores, apart
from outtakes.ranking.vectors import observed, resampled
from outtakes.shapes import Float

_STEPS = 50
"""Moments of each demonstration that are compared."""
_AT_ONCE = 32
"""Failures compared with all successes at once."""


class WarpingRanker(DatasetRanker):
    """Dynamic-time-warping distance from the k nearest successes.

    w(f) = mean over the k nearest successes s of √(min over warpings of Σ ‖z(oᶠ) − z(oˢ)‖² / n)
    (Sakoe and Chiba 1978, IEEE Trans. ASSP 26), both resampled to n = 50 moments, so that none is
    far for being long.

    Args:
        k: successes that each failure is compared with.
    """

    measure = Measure(
        key="dtw",
        name="warped distance from the successes",
        symbol="w",
        unit="σ",
        meaning="How far what one failure observes is from what the nearest successes observe, in "
        "the same order but each at its own pace (dynamic time warping), in standard deviations "
        "of what the successes observe (σ). Small means that it goes the way successes go.",
        needs=Needs.DATASET,
    )

    def __init__(self, k: int = 3) -> None:
        self.k = k

    def score(self, demos: DemoSet, *, progress: Progress | None = None) -> RunScores:
        """Score every failure.

        Raises:
            DatasetError: when there is no success, no failure or no state.
        """
        successes, failures = apart(demos)
        known, asked = (
            resampled(observed(side, successes), side, _STEPS) for side in (successes, failures)
        )
        blocks = []
        for first in range(0, len(asked), _AT_ONCE):
            blocks.append(warped_distances(asked[first : first + _AT_ONCE], known))
            if progress:
                progress(min(first + _AT_ONCE, len(asked)), len(asked), "rank")
        distances = np.concatenate(blocks) / np.sqrt(_STEPS)
        nearest = np.sort(distances, axis=1)[:, : self.k]
        scores = RunScores.of(failures, successes, nearest.mean(axis=1))
        return replace(scores, distances=distances.astype(np.float32))


def warped_distances(
    some: Float[np.ndarray, "F n D"], others: Float[np.ndarray, "S n D"]
) -> Float[np.ndarray, "F S"]:
    """√ of the least sum of squared distances over all warpings of each onto each."""
    from dtaidistance import dtw_ndim

    paths = np.concatenate([some, others]).astype(np.float64)
    block = ((0, len(some)), (len(some), len(paths)))
    found = dtw_ndim.distance_matrix_fast(paths, block=block, compact=True, parallel=False)
    return np.asarray(found).reshape(len(some), len(others))

"""Coverage: how far a failure starts from where the successes start.

A failure from a start that no success covers shows the policy, up to its mistake, what no success
does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from outtakes.data.demo import DemoSet, Outcome
from outtakes.data.normalize import SMALLEST_DEVIATION
from outtakes.progress import Progress
from outtakes.ranking.measure import End, Measure, Needs
from outtakes.ranking.ranker import DatasetRanker, RunScores, apart
from outtakes.ranking.vectors import observed
from outtakes.shapes import Float

Embed = Callable[[np.ndarray], np.ndarray]
"""(N, height, width, 3) uint8 images -> (N, K) vectors that lie close where images look alike."""
_PIXELS = 12
"""Side of the thumbnails that images are compared by, unless an embedding is given."""


def thumbnails(images: np.ndarray) -> np.ndarray:
    """(N, height, width, 3) -> (N, K): thumbnails of at most 12 × 12 pixels in [0, 1]."""
    height, width = (max(1, side // _PIXELS) for side in images.shape[1:3])
    rows, columns = images.shape[1] // height, images.shape[2] // width
    cut = images[:, : rows * height, : columns * width].astype(np.float32) / 255
    blocks = cut.reshape(len(cut), rows, height, columns, width, 3)
    return blocks.mean(axis=(2, 4)).reshape(len(cut), -1)


class CoverageRanker(DatasetRanker):
    """Distance of a failure's first observation from the nearest success's.

    c(f) = min over successes s of ‖z(o₁ᶠ) − z(o₁ˢ)‖, z the state and environment state,
    standardised by the successes' frames. Where a dataset has images and no environment state,
    z is an embedding of the images instead.

    Args:
        embed: how images become vectors.
    """

    measure = Measure(
        key="coverage",
        name="distance of the start",
        symbol="c",
        unit="σ",
        meaning="How far the first observation of one failure is from the first observation of "
        "the nearest success, in standard deviations of what the successes observe (σ). Large "
        "means that it starts where no success shows what to do.",
        needs=Needs.DATASET,
        useful=End.HIGH,
    )

    def __init__(self, embed: Embed = thumbnails) -> None:
        self.embed = embed

    def score(self, demos: DemoSet, *, progress: Progress | None = None) -> RunScores:
        """Score every failure.

        Raises:
            DatasetError: when there is no success, no failure or nothing observed.
        """
        successes, failures = apart(demos)
        starts = first_observations(demos, self.embed)
        of_success = demos.successes
        distances = torch.cdist(
            torch.from_numpy(starts[~of_success]).double(),
            torch.from_numpy(starts[of_success]).double(),
        ).numpy()
        scores = RunScores.of(failures, successes, self._values(distances, starts[~of_success]))
        return replace(scores, distances=distances.astype(np.float32))

    def _values(self, distances: np.ndarray, starts: np.ndarray) -> np.ndarray:
        """(F, S) distances to the successes and (F, D) starts of the failures -> (F,) scores."""
        return distances.min(axis=1)


class GreedyCoverageRanker(CoverageRanker):
    """Distance from the successes' starts and those of the failures ranked before.

    Farthest-point order (Gonzalez 1985, Theoretical Computer Science 38): the next failure is the
    one farthest from everything so far, so that two failures from one start do not both come first.
    """

    measure = replace(
        CoverageRanker.measure,
        key="coverage-greedy",
        name="distance of the start, greedily",
        symbol="c_g",
        meaning="How far the first observation of one failure is from those of the successes and "
        "of all failures that are farther, in standard deviations of what the successes observe "
        "(σ). Large means that it starts where nothing chosen before shows what to do.",
    )

    def _values(self, distances: np.ndarray, starts: np.ndarray) -> np.ndarray:
        values, left = np.full(len(starts), np.nan), distances.min(axis=1)
        for _ in range(len(starts)):
            farthest = int(np.where(np.isnan(values), left, -1).argmax())
            values[farthest] = left[farthest]
            left = np.minimum(left, np.linalg.norm(starts - starts[farthest], axis=1))
        return values


def first_observations(demos: DemoSet, embed: Embed) -> Float[np.ndarray, "N D"]:
    """What each demonstration sees first, in σ of what the successes do.

    Raises:
        DatasetError: when nothing is observed.
    """
    successes = demos.subset(demos.episodes(Outcome.SUCCESS))
    if not demos.images or demos.environment_state.shape[1]:
        return observed(demos, successes)[demos.packed_starts()]
    vectors = np.concatenate([embed(i[demos.starts]) for i in demos.images.values()], axis=1)
    # One scale for all: a pixel that hardly differs is not blown up to the size of one that does.
    spread = np.sqrt(vectors[demos.successes].var(axis=0, dtype=np.float64).mean())
    return vectors / max(float(spread), SMALLEST_DEVIATION)

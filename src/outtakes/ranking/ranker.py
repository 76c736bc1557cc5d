"""What a ranker is: a score for every failure, from trained runs or from the dataset alone; and all
rankers by name.

A ranker is one file beside this one, and one row here; or another package's, under the entry point
group `outtakes.rankers`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from outtakes import extensions
from outtakes.data.demo import DemoSet, Outcome
from outtakes.errors import CheckpointError, DatasetError
from outtakes.progress import Progress
from outtakes.ranking.measure import Measure

if TYPE_CHECKING:
    # Rankings are read and selected from where there is no torch, and faster than it is imported.
    import torch

    from outtakes.policy.checkpoint import Checkpoint

GROUP = "outtakes.rankers"
"""Entry point group that other packages add to: name -> a `Ranker` class."""
_BUILT_IN = {
    "attention": "outtakes.ranking.attention.scoring:AttentionRanker",
    "attention-rank": "outtakes.ranking.attention.attention_rank:AttentionRankRanker",
    "action-error": "outtakes.ranking.action_error:ActionErrorRanker",
    "coverage": "outtakes.ranking.coverage:CoverageRanker",
    "coverage-greedy": "outtakes.ranking.coverage:GreedyCoverageRanker",
    "influence": "outtakes.ranking.influence:InfluenceRanker",
    "neighbours": "outtakes.ranking.neighbours:NeighboursRanker",
    "dtw": "outtakes.ranking.warping:WarpingRanker",
    "quality": "outtakes.ranking.quality:QualityRanker",
    "information": "outtakes.ranking.information:InformationRanker",
    "smoothness": "outtakes.ranking.smoothness:SmoothnessRanker",
    "length": "outtakes.ranking.length:LengthRanker",
    "random": "outtakes.ranking.chance:RandomRanker",
}


@dataclass(frozen=True)
class Plane:
    """Demonstrations as a run sees them, on a plane; for people to look at."""

    title: str
    """What the axes are."""
    points: Sequence[tuple[int, bool, float, float]]
    """(episode, success, x, y)."""


@dataclass(frozen=True)
class RunScores:
    """What one trained run, or the dataset alone, says about every failure."""

    seed: int
    """Training seed of the run; 0 without a run."""
    failures: tuple[int, ...]
    """Episode index of each failure."""
    successes: tuple[int, ...]
    """Episode index of each success they were compared with."""
    values: np.ndarray
    """(F,) float64, in the measure's unit."""
    standard_errors: np.ndarray | None = None
    """(F,) float64: of `values`, when they were estimated from a sample; else None."""
    distances: np.ndarray | None = None
    """(F, S) float32: to each success; NaN where it is not known; None when there is no such
    thing."""
    over_time: Sequence[np.ndarray] = ()
    """For each failure (T,) float64: the measure at each frame, NaN where it is not known; or
    empty."""
    plane: Plane | None = None

    @staticmethod
    def of(failures: DemoSet, successes: DemoSet, values: np.ndarray) -> RunScores:
        """The scores of these failures without a run, (F,)."""
        return RunScores(
            seed=0,
            failures=tuple(failures.episode_indices.tolist()),
            successes=tuple(successes.episode_indices.tolist()),
            values=values,
        )


class DatasetRanker(ABC):
    """Scores failures by the dataset alone; `measure` says by what, and needs `Needs.DATASET`."""

    measure: ClassVar[Measure]

    @abstractmethod
    def score(self, demos: DemoSet, *, progress: Progress | None = None) -> RunScores:
        """Score every failure.

        Args:
            demos: the dataset.
            progress: told of every failure that is scored.

        Raises:
            DatasetError: when there is no success or no failure.
        """


class RunRanker(ABC):
    """Scores failures by trained runs, one at a time; `measure` says by what."""

    measure: ClassVar[Measure]

    @abstractmethod
    def score(
        self,
        run: Checkpoint,
        demos: DemoSet,
        *,
        device: torch.device | str = "cpu",
        progress: Progress | None = None,
    ) -> RunScores:
        """Score every failure by one trained run.

        Args:
            run: trained as `measure.needs` says.
            demos: the dataset it was trained on.
            device: where to compute.
            progress: told of every failure that is scored.

        Raises:
            CheckpointError: when the run is of another kind or of other data.
            DatasetError: when there is no success or no failure.
        """


Ranker = DatasetRanker | RunRanker
"""What scores failures."""


def rankers() -> list[str]:
    """Names of all rankers."""
    return extensions.names(GROUP, _BUILT_IN)


def ranker(name: str) -> Ranker:
    """The ranker of this name, with its own defaults.

    Raises:
        UnknownName: when there is none.
    """
    return extensions.load("ranker", name, GROUP, _BUILT_IN)()


def apart(demos: DemoSet) -> tuple[DemoSet, DemoSet]:
    """The successes and the failures.

    Raises:
        DatasetError: when there is no success or no failure.
    """
    sides = []
    for outcome in (Outcome.SUCCESS, Outcome.FAILURE):
        episodes = demos.episodes(outcome)
        if not episodes:
            raise DatasetError(
                f"no {outcome.value} among {len(demos)} episodes",
                where=demos.name,
                remedy="ranking compares failures with successes; record or label some",
            )
        sides.append(demos.subset(episodes))
    return sides[0], sides[1]


def check_same_data(run: Checkpoint, demos: DemoSet) -> None:
    """Refuse a run that was trained on another dataset, or on this one read in another way.

    Raises:
        CheckpointError: when it was.
        DatasetError: when the dataset lacks an episode of the run.
    """
    if run.content_hash != demos.content_hash:
        raise CheckpointError(
            f"seed {run.seed} was trained on other data ({run.dataset})",
            where=demos.name,
            remedy="give the dataset that the runs were trained on, as it was",
        )
    other = run.differences(demos)
    if other:
        raise CheckpointError(
            f"seed {run.seed} was trained on the same data read otherwise: {'; '.join(other)}",
            where=demos.name,
            remedy="give the labels and the flags that the runs were trained with, --recipe "
            "included",
        )
    missing = set(run.episodes) - set(demos.episode_indices.tolist())
    if missing:
        raise DatasetError(
            f"episode {min(missing)} is not in the dataset",
            where=demos.name,
            remedy="give the whole dataset of the run",
        )


def check_saw_successes_alone(run: Checkpoint) -> None:
    """Refuse a run that was trained on a failure.

    Raises:
        CheckpointError: when it was.
    """
    if not all(run.successes):
        raise CheckpointError(
            f"seed {run.seed} was trained on failures, too",
            where=run.dataset,
            remedy="train on the successes alone, or rank by attention",
        )

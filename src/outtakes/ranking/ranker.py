"""What a ranker is: a score for every failure from one trained run; and all rankers by name.

A ranker is one file beside this one, and one row here; or another package's, under the entry point
group `outtakes.rankers`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from outtakes import extensions
from outtakes.data.demo import DemoSet
from outtakes.errors import CheckpointError, DatasetError
from outtakes.policy.checkpoint import Checkpoint
from outtakes.progress import Progress
from outtakes.ranking.measure import Measure

GROUP = "outtakes.rankers"
"""Entry point group that other packages add to: name -> a `Ranker` class."""
_BUILT_IN = {
    "attention": "outtakes.ranking.attention.scoring:AttentionRanker",
    "action-error": "outtakes.ranking.action_error:ActionErrorRanker",
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
    """What one trained run says about every failure."""

    seed: int
    """Training seed of the run."""
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


class Ranker(ABC):
    """Scores failures; what it computes is said by `measure`."""

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


def rankers() -> list[str]:
    """Names of all rankers."""
    return extensions.names(GROUP, _BUILT_IN)


def ranker(name: str) -> Ranker:
    """The ranker of this name, with its own defaults.

    Raises:
        UnknownName: when there is none.
    """
    return extensions.load("ranker", name, GROUP, _BUILT_IN)()


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
            remedy="give the dataset, the labels and the flags that the runs were trained with, "
            "--recipe included",
        )
    missing = set(run.episodes) - set(demos.episode_indices.tolist())
    if missing:
        raise DatasetError(
            f"episode {min(missing)} is not in the dataset",
            where=demos.name,
            remedy="give the whole dataset of the run",
        )

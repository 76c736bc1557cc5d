"""Chance: the control that every ranking must beat."""

from __future__ import annotations

import numpy as np

from outtakes.data.demo import DemoSet
from outtakes.progress import Progress
from outtakes.ranking.measure import Measure, Needs
from outtakes.ranking.ranker import DatasetRanker, RunScores, apart


class RandomRanker(DatasetRanker):
    """A number drawn at random for every failure.

    Args:
        seed: of the draw; a failure's number depends on it and on the episode index alone.
    """

    measure = Measure(
        key="random",
        name="random order",
        symbol="u",
        unit="of 1",
        meaning="A number between 0 and 1 drawn at random for each failure. A control: it knows "
        "nothing.",
        needs=Needs.DATASET,
    )

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def score(self, demos: DemoSet, *, progress: Progress | None = None) -> RunScores:
        """Score every failure."""
        successes, failures = apart(demos)
        episodes = failures.episode_indices.tolist()
        drawn = [np.random.default_rng([self.seed, episode]).random() for episode in episodes]
        return RunScores.of(failures, successes, np.array(drawn))

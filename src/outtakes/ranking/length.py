"""Length: the control that every other ranking must be told from.

Many measures of quality turn out to be the number of frames in disguise.
"""

from __future__ import annotations

import numpy as np

from outtakes.data.demo import DemoSet
from outtakes.progress import Progress
from outtakes.ranking.measure import Measure, Needs
from outtakes.ranking.ranker import DatasetRanker, RunScores, apart


class LengthRanker(DatasetRanker):
    """Number of frames."""

    measure = Measure(
        key="length",
        name="length",
        symbol="T",
        unit="frames",
        meaning="How many frames a failure has. A control: whatever ranks failures no better than "
        "their length has learnt nothing else about them.",
        needs=Needs.DATASET,
    )

    def score(self, demos: DemoSet, *, progress: Progress | None = None) -> RunScores:
        """Score every failure."""
        successes, failures = apart(demos)
        return RunScores.of(failures, successes, failures.lengths.astype(np.float64))

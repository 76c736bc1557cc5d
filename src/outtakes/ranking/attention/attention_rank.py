"""The paper's ranking, with one vote for each seed.

A sum over seeds of raw divergences is decided by the seed whose biases grew largest. Ranks within
seeds have one scale: K̄ᵣ(f) = mean over seeds of the rank of K_seed(f) among the failures.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from outtakes.data.demo import DemoSet
from outtakes.policy.checkpoint import Checkpoint
from outtakes.ranking.attention.scoring import AttentionRanker
from outtakes.ranking.measure import Measure, Needs
from outtakes.ranking.ranker import RunScores
from outtakes.ranking.ranks import ranks


class AttentionRankRanker(AttentionRanker):
    """Rank of K(f) among the failures of one run; takes what `AttentionRanker` does."""

    measure = Measure(
        key="attention-rank",
        name="rank by attention divergence",
        symbol="K̄ᵣ",
        unit="places",
        meaning="Place of one failure when each training seed orders the failures by their "
        "attention divergence from the successes, averaged over the seeds. Unlike the divergence "
        "itself it counts every seed alike. Small means nearly a success.",
        needs=Needs.BIAS,
        over_time="divergence averaged over the successes, in nats",
    )

    def score(self, run: Checkpoint, demos: DemoSet, **where: Any) -> RunScores:
        """Score every failure that a run of ACT with parametric bias was trained on."""
        scores = super().score(run, demos, **where)
        return replace(scores, values=ranks(scores.values), standard_errors=None)

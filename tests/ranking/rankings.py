"""A ranking made by hand."""

from __future__ import annotations

from collections.abc import Sequence

from outtakes.ranking.measure import ATTENTION
from outtakes.ranking.ranker import Plane
from outtakes.ranking.scores import FailureScore, Scores

SUCCESSES = (100, 101, 102)


def make_scores(k: Sequence[float] = (5.0, 1.0, 4.0, 2.0, 3.0, 6.0, 0.5)) -> Scores:
    """Failure i has K̄ = k[i] nats, over two seeds that agree."""
    return Scores(
        measure=ATTENTION,
        dataset="made up",
        content_hash="hash",
        successes=SUCCESSES,
        failures=[
            FailureScore(i, {0: value - 0.1, 1: value + 0.1}, [value / 6, value / 2], 101)
            for i, value in enumerate(k)
        ],
        kendall_tau=1.0,
        plane=Plane("parametric bias", [(0, False, 0.5, -0.5), (100, True, 1.0, 2.0)]),
    )

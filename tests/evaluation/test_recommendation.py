"""A recommendation says what was measured, in the right direction, and never more than that."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from outtakes.evaluation.recommendation import (
    Command,
    Decision,
    Evidence,
    Gain,
    Option,
    Recommendation,
    Yardstick,
    recommend,
)
from outtakes.experiments.advice import ranking_doubts
from outtakes.ranking.measure import ATTENTION
from outtakes.ranking.ranker import RunScores
from outtakes.ranking.scores import Scores

BETTER, WORSE = Gain(0.062, 0.011, 0.113, 0.018, 5), Gain(-0.096, -0.15, -0.041, 0.001, 5)
OPEN, NOTHING = Gain(0.03, -0.02, 0.08, 0.2, 5), Gain(0.002, -0.01, 0.012, 0.8, 5)

EVIDENCE = Evidence(
    successes=20,
    options=[
        Option("the 4 failures nearest to the successes", (20, 21, 22, 23), BETTER),
        Option("all 12 failures", tuple(range(20, 32)), Gain(-0.04, -0.091, 0.011, 0.31, 5)),
    ],
    yardstick=Yardstick.ROLLOUTS,
    baseline=0.71,
    basis="5 training seeds × 100 rollouts",
)


def with_gains(*gains: Gain | None, **changes) -> Recommendation:
    """The recommendation when the options came to this."""
    options = [replace(o, gain=g) for o, g in zip(EVIDENCE.options, gains, strict=True)]
    return recommend(replace(EVIDENCE, options=options, **changes))


@pytest.mark.parametrize(
    ("chosen", "every", "decision", "failures"),
    [
        (BETTER, OPEN, Decision.USE, 4),
        (BETTER, replace(BETTER, mean=0.1), Decision.USE, 12),
        (OPEN, BETTER, Decision.USE, 12),
        (WORSE, WORSE, Decision.LEAVE_OUT, 0),
        (NOTHING, NOTHING, Decision.LEAVE_OUT, 0),
        (replace(OPEN, mean=-0.001), WORSE, Decision.LEAVE_OUT, 0),
        (WORSE, OPEN, Decision.UNCLEAR, 0),
        (OPEN, WORSE, Decision.UNCLEAR, 0),
        (replace(BETTER, seeds=1), replace(WORSE, seeds=1), Decision.UNCLEAR, 0),
        (None, None, Decision.UNCLEAR, 0),
    ],
)
def test_what_is_measured_decides(
    chosen: Gain | None, every: Gain | None, decision: Decision, failures: int
) -> None:
    found = with_gains(chosen, every)
    assert (found.decision, len(found.failures)) == (decision, failures)


def test_a_control_is_never_recommended() -> None:
    at_random = Option("4 failures drawn at random", (), BETTER, control=True)
    options = [replace(EVIDENCE.options[0], gain=WORSE), at_random]
    assert recommend(replace(EVIDENCE, options=options)).decision is Decision.LEAVE_OUT


def test_a_higher_success_rate_in_everyday_words() -> None:
    found = recommend(EVIDENCE)
    assert found.headline == (
        "Use the 4 failures nearest to the successes: adding them raised success from 71 % to 77 %."
    )
    assert found.why == (
        "With the 4 failures nearest to the successes, success went from 71 % to 77 % "
        "(6.2 points more, 95 % interval +1.1 to +11)."
    )
    assert (found.change, found.low, found.high) == (0.062, 0.011, 0.113)


def test_the_policy_is_that_of_the_option_that_is_recommended() -> None:
    chosen, every = EVIDENCE.options[:2]
    tried = [replace(chosen, gain=OPEN, policy="act"), replace(every, gain=BETTER, policy="act-pb")]
    assert recommend(replace(EVIDENCE, options=tried)).policy == "act-pb"
    tried[0] = replace(chosen, gain=replace(BETTER, mean=0.2), policy="act")
    assert recommend(replace(EVIDENCE, options=tried)).policy == "act"


def test_a_higher_error_is_worse() -> None:
    """A run whose held-out error rose once ended in a list of failures to keep."""
    found = with_gains(WORSE, WORSE, yardstick=Yardstick.HELD_OUT)
    assert found.headline == "Leave the failures out: train on the 20 successes alone."
    assert "9.6 % worse than without (95 % interval −15 to −4.1 %)" in found.why
    assert "All 12 failures made it worse for certain." in found.why


def test_too_short_a_recipe_settles_nothing() -> None:
    found = with_gains(BETTER, WORSE, too_short="Two steps.", doubts=("Unstable.",))
    assert (found.decision, found.again) == (Decision.UNCLEAR, True)
    assert found.doubts == ("Two steps.", "Unstable.")


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    found = replace(recommend(EVIDENCE), commands=(Command("Train", "outtakes train"),))
    found.save(str(tmp_path / "recommendation.json"))
    assert Recommendation.load(tmp_path / "recommendation.json") == found


@pytest.mark.parametrize(
    ("noise", "seeds", "said"),
    [(0.01, 5, []), (30.0, 5, ["is unstable", "no more than chance"]), (0.0, 1, ["one training"])],
)
def test_an_unstable_ranking_is_said(noise: float, seeds: int, said: list[str]) -> None:
    rng, failures = np.random.default_rng(0), tuple(range(12))
    runs = [
        RunScores(seed, failures, (12, 13), np.arange(12) + noise * rng.normal(size=12))
        for seed in range(seeds)
    ]
    found = list(ranking_doubts(Scores.of(ATTENTION, runs, "a test", "hash")))
    assert len(found) == len(said)
    assert all(words in doubt for words, doubt in zip(said, found, strict=True))

"""Time to success."""

from __future__ import annotations

import pytest

from outtakes.evaluation.rollouts import Rollout, RolloutLog
from outtakes.evaluation.times import times_to_success


def log(**steps: list[int]) -> RolloutLog:
    """Rollouts of one seed with a horizon of 100, which is when they fail."""
    return RolloutLog(
        [
            Rollout(
                arm=arm,
                seed=0,
                initial_state=i,
                success=taken < 100,
                steps=taken,
                retrieved_episode=-1,
            )
            for arm, own in steps.items()
            for i, taken in enumerate(own)
        ]
    )


def test_failing_where_it_takes_long_is_not_faster():
    times = times_to_success(log(sure=[20, 40, 80, 80], hasty=[20, 40, 100, 100]), "sure")
    assert (times["sure"].median, times["hasty"].median) == (60, 30)
    assert (times["sure"].restricted, times["hasty"].restricted) == (55, 65)
    found = times["hasty"].difference
    assert found is not None and found.difference == pytest.approx(10)
    assert found.low <= 10 <= found.high
    assert times["sure"].difference is None


def test_an_arm_that_never_succeeds_has_no_median():
    times = times_to_success(log(good=[10, 30], bad=[100, 100]), "good")
    assert times["bad"].median is None
    assert times["bad"].restricted == 100

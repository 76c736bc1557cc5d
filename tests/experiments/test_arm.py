"""Arms differ in what they say, and are complete."""

from __future__ import annotations

from dataclasses import replace

import pytest

from outtakes.experiments.arm import act_arm, bias_arm, label_arm
from outtakes.experiments.recipes import SMOKE

EPISODES = (4, 0, 2)


def test_episodes_stand_in_order():
    assert act_arm(SMOKE, "act", "ACT", EPISODES).episodes == (0, 2, 4)


@pytest.mark.parametrize(
    ("make", "condition"), [(act_arm, "none"), (label_arm, "label"), (bias_arm, "pb")]
)
def test_an_arm_differs_from_the_recipe_in_its_condition_alone(make, condition):
    arm = make(SMOKE, "an-arm", "An arm", EPISODES)
    assert arm.policy == replace(SMOKE.policy, condition=condition)
    assert arm.training == SMOKE.train


def test_a_balanced_arm_draws_both_outcomes_equally_often():
    arm = act_arm(SMOKE, "act", "ACT", EPISODES, balanced=True)
    assert arm.training == replace(SMOKE.train, balanced=True)


def test_an_arm_without_the_kl_term_weighs_it_with_nothing():
    arm = bias_arm(SMOKE, "pb", "PB", EPISODES, kl=False)
    assert arm.policy == replace(
        SMOKE.policy, condition="pb", loss=replace(SMOKE.policy.loss, kl_weight=0.0)
    )


def test_an_arm_with_bias_is_compared_once_for_each_steering():
    arm = bias_arm(SMOKE, "pb", "PB", EPISODES)
    assert arm.treatments == {"nearest": "pb (nearest)", "mean": "pb (mean)"}
    assert arm.labels == {"pb (nearest)": "PB, nearest PB", "pb (mean)": "PB, mean PB"}


def test_an_arm_that_nothing_steers_is_compared_under_its_own_name():
    arm = act_arm(SMOKE, "act", "ACT", EPISODES)
    assert arm.treatments == {"": "act"}
    assert arm.labels == {"act": "ACT"}

"""Ways to use failures, as arms: the paper's, and the controls that it must beat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import cast

from outtakes.experiments.arm import Arm, act_arm, bias_arm, label_arm, policy_arm
from outtakes.experiments.recipes import Recipe
from outtakes.policy.flow.afil import AfilConfig
from outtakes.policy.flow.guidance import Guidance

BASELINE, RANKED, SELECTED = "act-s", "pb-kl-all", "pb-kl-low"
"""The arm everything is compared with, the arm whose attention ranks the failures, and the arm
retrained on the failures it ranks nearest."""
FINISH = 300
"""Steps on successes alone at the end of training on everything."""


def experiment_1_arms(
    recipe: Recipe, successes: Sequence[int], failures: Sequence[int]
) -> list[Arm]:
    """Table 1 of the paper: ACT and the method, without and with all failures."""
    both = [*successes, *failures]
    n, m = len(successes), len(failures)
    plus = f"{n} successes + {m} failures"
    return [
        act_arm(recipe, BASELINE, f"ACT, {n} successes", successes, paper="71.0 ± 3.4"),
        act_arm(recipe, "act-all", f"ACT, {plus}", both, paper="71.6 ± 5.2"),
        bias_arm(recipe, "pb-s", f"PB, {n} successes", successes, paper="74.2 ± 3.6"),
        bias_arm(recipe, RANKED, f"PB + KL, {plus}", both, paper="77.8 ± 2.6"),
    ]


def control_arms(recipe: Recipe, successes: Sequence[int], failures: Sequence[int]) -> list[Arm]:
    """What the paper lacks: cheap ways to use all failures that the method must beat."""
    both = [*successes, *failures]
    balanced = "ACT, class-balanced, all failures"
    return [
        bias_arm(recipe, "pb-all", "PB without KL, all failures", both, kl=False),
        label_arm(recipe, "label-all", "One-bit label token, all failures", both),
        act_arm(recipe, "act-balanced", balanced, both, balanced=True),
    ]


_PAPER_2 = {
    "random": ("72.8 ± 5.6", "75.8 ± 5.4"),
    "low": ("74.2 ± 7.4", "79.4 ± 4.6"),
    "mid": ("76.0 ± 5.7", "78.6 ± 2.1"),
    "high": ("70.4 ± 7.4", "71.8 ± 3.4"),
}
"""Group of failures -> the paper's success rates of ACT and of the method, in %."""
_GROUP_WORDS = {"low": "nearest", "mid": "middle", "high": "farthest", "random": "random"}


def experiment_2_arms(
    recipe: Recipe, successes: Sequence[int], groups: Mapping[str, Sequence[int]]
) -> list[Arm]:
    """Table 2 of the paper: ACT and the method on successes and one group of failures."""
    arms = []
    for group, failures in groups.items():
        act, method = _PAPER_2[group]
        added = f"+ {len(failures)} {_GROUP_WORDS[group]} failures"
        both = [*successes, *failures]
        arms += [
            act_arm(recipe, f"act-{group}", f"ACT, {added}", both, paper=act),
            bias_arm(recipe, f"pb-kl-{group}", f"PB + KL, {added}", both, paper=method),
        ]
    return arms


def all_failures_arms(
    recipe: Recipe, successes: Sequence[int], failures: Sequence[int]
) -> list[Arm]:
    """Experiment 1 and its controls: every way to use all failures."""
    controls = control_arms(recipe, successes, failures)
    return experiment_1_arms(recipe, successes, failures) + controls


def flow_arms(recipe: Recipe, successes: Sequence[int], failures: Sequence[int]) -> list[Arm]:
    """Ways of the flow family to use all failures: guidance away from them, and its controls."""
    both, n = [*successes, *failures], len(successes)
    alone = policy_arm(recipe, "flow", "flow-s", f"Flow, {n} successes", successes)
    everything = policy_arm(recipe, "flow", "flow-all", "Flow, all failures", both)
    told = policy_arm(recipe, "cfgrl", "cfgrl-all", "Flow told the outcome (CFGRL)", both)
    return [alone, everything, told, *guided_arms(recipe, successes, failures)]


def guided_arms(
    recipe: Recipe,
    successes: Sequence[int],
    failures: Sequence[int],
    alphas: Sequence[float] = (1.0,),
) -> list[Arm]:
    """AFIL at each α, adaptive and at a constant weight of an equal mean; and as a control two
    generators of successes that steer each other. All start from one flow policy."""
    steerings = tuple(
        str(Guidance(weighting, alpha)) for alpha in alphas for weighting in ("adaptive", "matched")
    )
    label = "AFIL, all failures"
    afil = policy_arm(recipe, "afil", "afil", label, [*successes, *failures])
    control = replace(
        afil,
        name="afil-s",
        label="Two generators of successes",
        episodes=tuple(sorted(successes)),
        policy=replace(cast(AfilConfig, afil.policy), avoid="successes"),
        training=replace(afil.training, balanced=False),
        steerings=tuple(str(Guidance("adaptive", alpha)) for alpha in alphas),
    )
    unguided = str(Guidance("adaptive", 0.0))
    return [replace(afil, steerings=(*steerings, unguided)), control]


def finish_arm(arm: Arm, name: str, label: str) -> Arm:
    """The arm trained as long as it says, and then briefly on its successes alone."""
    longer = replace(arm.training, steps=arm.training.steps + FINISH, finish=FINISH)
    return replace(arm, name=name, label=label, training=longer)

"""An arm of an experiment: what is trained, on which demonstrations, and how it is steered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from outtakes.evaluation.rollouts import treatment
from outtakes.experiments.recipes import Recipe
from outtakes.policy.kinds import config_class
from outtakes.policy.policy import PolicyConfig
from outtakes.training.config import TrainConfig


@dataclass(frozen=True)
class Arm:
    """One way to train, complete: arms differ in these fields alone."""

    name: str
    """Folder name and key, for example "pb-kl-low"."""
    label: str
    """For people, for example "PB + KL, 10 nearest failures"."""
    episodes: tuple[int, ...]
    """Episode indices to train on."""
    policy: PolicyConfig
    training: TrainConfig
    steerings: tuple[str, ...] = ("",)
    """Ways the trained policy is steered at run time, a set of rollouts for each; "" for a policy
    that takes none, or for its default."""
    paper: str = ""
    """The paper's success rate for the same cell under the first steering, in %."""
    base: Arm | None = None
    """The arm whose run of the same seed it starts from, trained first where it is not; None from
    nothing."""

    @property
    def treatments(self) -> Mapping[str, str]:
        """Steering -> name of its rollouts in comparisons."""
        return {steering: treatment(self.name, steering) for steering in self.steerings}

    @property
    def labels(self) -> Mapping[str, str]:
        """Name in comparisons -> name for people."""
        what = " PB" if self.policy.kind == "act" else ""
        return {
            name: f"{self.label}, {steering}{what}" if steering else self.label
            for steering, name in self.treatments.items()
        }


def act_arm(
    recipe: Recipe,
    name: str,
    label: str,
    episodes: Sequence[int],
    *,
    balanced: bool = False,
    paper: str = "",
) -> Arm:
    """Plain ACT; `balanced` draws successes and failures equally often."""
    policy = replace(recipe.policy, condition="none")
    training = replace(recipe.train, balanced=balanced)
    return Arm(name, label, tuple(sorted(episodes)), policy, training, paper=paper)


def label_arm(recipe: Recipe, name: str, label: str, episodes: Sequence[int]) -> Arm:
    """ACT that is told by a token whether a demonstration succeeded."""
    policy = replace(recipe.policy, condition="label")
    return Arm(name, label, tuple(sorted(episodes)), policy, recipe.train)


def without_failures(policy: str) -> str:
    """Name of the policy that is trained in place of this one on successes alone.

    Raises:
        UnknownName: when there is no such policy.
    """
    if policy in ("act", "act-pb"):
        return policy
    return config_class(policy).without_failures or policy


def policy_arm(recipe: Recipe, policy: str, name: str, label: str, episodes: Sequence[int]) -> Arm:
    """A policy by its name: "act", "act-pb", or a kind, of the recipe's shape.

    Raises:
        UnknownName: when there is no such policy.
    """
    if policy == "act":
        return act_arm(recipe, name, label, episodes)
    if policy == "act-pb":
        return bias_arm(recipe, name, label, episodes)
    config = config_class(policy).like(recipe.policy)
    training = replace(recipe.train, ema=recipe.train.ema or config.averaged)
    arm = Arm(name, label, tuple(sorted(episodes)), config, training)
    if not config.base:
        return arm
    start = policy_arm(recipe, config.base, f"{name}-{config.base}", label, episodes)
    # What it starts from can act already: a third of the steps, each outcome as often.
    steps = max(training.steps // 3, 1)
    shorter = replace(
        training, steps=steps, warmup=min(training.warmup, steps // 10), balanced=True
    )
    return replace(arm, training=shorter, base=start)


def bias_arm(
    recipe: Recipe,
    name: str,
    label: str,
    episodes: Sequence[int],
    *,
    kl: bool = True,
    paper: str = "",
) -> Arm:
    """ACT with parametric bias, with the KL term or without.

    It is rolled out twice: steered by the PB of the nearest success, as in the paper, and by the
    mean PB of all successes.
    """
    policy = replace(recipe.policy, condition="pb")
    if not kl:
        policy = replace(policy, loss=replace(policy.loss, kl_weight=0.0))
    steerings = ("nearest", "mean")
    return Arm(name, label, tuple(sorted(episodes)), policy, recipe.train, steerings, paper)

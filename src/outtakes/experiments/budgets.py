"""How long to train: a learning curve for every arm, on data and states that nothing reports.

A comparison at one length says more about the length than about the arms, so each arm is trained
as long as it is best, and the baseline is looked after as well as the method. One run an arm and
seed gives the whole curve: at a constant rate, acting by averaged weights, a run that is stopped
early is what a shorter training would have been.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from outtakes.data.demo import DemoSet
from outtakes.errors import ConfigError, UnknownName
from outtakes.evaluation.learning_curves import Budgets, LearningCurve
from outtakes.evaluation.rollouts import RolloutLog, treatment
from outtakes.experiments.arm import Arm
from outtakes.experiments.cell import Cell
from outtakes.experiments.lab import Lab
from outtakes.experiments.pipeline import jobs_of
from outtakes.experiments.recipes import Recipe
from outtakes.experiments.runs import stop_name
from outtakes.experiments.study_log import run_recorded
from outtakes.experiments.ways import all_failures_arms, flow_arms
from outtakes.sim.initial_states import InitialStates, Stream

LENGTHS = (300, 600, 1_000, 1_500, 2_500, 4_000, 6_000)
"""Optimiser steps at which a curve is measured: about 1.6 times as many each time."""
EMA = 0.99
"""Decay of the averaged weights: the last 100 steps or so."""


def any_length(recipe: Recipe) -> Recipe:
    """The recipe at a constant rate with averaged weights, for runs that may stop anywhere."""
    return replace(recipe, train=replace(recipe.train, schedule="constant", ema=EMA))


def on_tuning_states(recipe: Recipe) -> Recipe:
    """The recipe rolled out from initial states that are for tuning alone."""
    return replace(recipe, states=InitialStates(Stream.TUNE, seed=recipe.states.seed))


AT_RANDOM = 15
"""Failures of the arm that stands for every selection of so many."""


Family = Literal["act", "flow"]
"""Ways to train by the policy they are ways of: ACT, or flow matching."""


def arms_of(
    cell: Cell, names: Sequence[str] | None = None, family: Family | None = None
) -> list[Arm]:
    """The ways to train whose length is free: on successes, on some failures, on all of them.

    Args:
        cell: its successes and failures.
        names: which of them; all of the family when None.
        family: of which policy; any when None.

    Raises:
        UnknownName: when there is none of a name.
    """
    successes, failures = cell.successes, cell.failures
    some = np.random.default_rng(5).permutation(failures)[:AT_RANDOM].tolist()
    arms = {
        "act": [
            *all_failures_arms(cell.lab.recipe, successes, failures),
            cell.act(f"act-{AT_RANDOM}", some),
        ],
        "flow": flow_arms(cell.lab.recipe, successes, failures),
    }
    known = {arm.name: arm for kind, own in arms.items() if family in (kind, None) for arm in own}
    for name in names or ():
        if name not in known:
            raise UnknownName("arm", name, known)
    return [known[name] for name in names or known]


def measure_budgets(
    lab: Lab,
    demos: DemoSet,
    arms: Sequence[Arm],
    *,
    lengths: Sequence[int] = LENGTHS,
) -> Budgets:
    """Train every arm to the greatest length, rolling it out at each on the way.

    Args:
        lab: its recipe says with which seeds and from which initial states; see
            `on_tuning_states`.
        demos: demonstrations for tuning alone.
        arms: of a recipe of `any_length`.
        lengths: optimiser steps.

    Raises:
        ConfigError: when an arm's rate is not constant.
    """
    stops = tuple(sorted(lengths))
    for arm in arms:
        if arm.training.schedule != "constant":
            raise ConfigError(
                f"{arm.name} is trained at a rate that falls to 0 at its last step",
                remedy="take the arms of a recipe of any length",
            )
    longest = [replace(a, training=replace(a.training, steps=stops[-1])) for a in arms]
    jobs = jobs_of(lab, longest, lab.recipe.seeds, demos, lab.recipe.evaluation)
    log = run_recorded(lab, [replace(job, stops=stops) for job in jobs])
    return Budgets(curves_of(log, arms, stops))


def curves_of(
    log: RolloutLog, arms: Sequence[Arm], stops: Sequence[int]
) -> dict[str, LearningCurve]:
    """Treatment -> its learning curve, from the rollouts at every stop."""
    outcomes = log.outcomes()
    curves = {}
    for arm in arms:
        for steering, name in arm.treatments.items():
            at_stops = [outcomes[treatment(stop_name(arm.name, n), steering)] for n in stops]
            rates = [[own[seed].mean() for seed in sorted(own)] for own in at_stops]
            curves[name] = LearningCurve(tuple(stops), np.array(rates))
    return curves

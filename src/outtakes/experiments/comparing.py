"""Ways to train compared, each at its own tuned length, the baseline as well as the method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from outtakes.evaluation.learning_curves import Budgets
from outtakes.evaluation.replicates import Replicates
from outtakes.evaluation.rollouts import RolloutLog, treatment
from outtakes.experiments.arm import Arm
from outtakes.experiments.budgets import Family, arms_of
from outtakes.experiments.cell import Cell
from outtakes.experiments.pipeline import jobs_of
from outtakes.experiments.runs import Job, stop_name
from outtakes.experiments.study_log import run_recorded
from outtakes.experiments.ways import finish_arm

WAYS = "ways.json"
FINISHED = {"act-all": "finish-all", "flow-all": "flow-finish"}
"""Arm on all failures -> the one that then trains briefly on the successes alone."""
_ON_SUCCESSES = ("act-s", "pb-s", "flow-s", "afil-s")


def compare_ways(
    cell: Cell,
    tuned: Budgets,
    names: Sequence[str] | None = None,
    family: Family | None = None,
) -> dict[str, float]:
    """One replicate; treatment -> success rate at its tuned length.

    Where all failures are a way, so is training on them as long and then briefly on the successes.

    Args:
        cell: its successes and failures.
        tuned: of every arm under every steering.
        names: of the arms; all that were tuned when None.
        family: ways to train which policy; any when None.

    Raises:
        ConfigError: when an arm was not tuned.
    """
    lab = cell.lab
    arms = arms_of(cell, names or _tuned_arms(cell, tuned, family), family)
    jobs = [job for arm in arms for job in _jobs_at_lengths(cell, arm, tuned)]
    finished = [_finished(arm, tuned) for arm in arms if arm.name in FINISHED]
    jobs += jobs_of(lab, finished, lab.recipe.seeds, cell.demos, lab.recipe.evaluation)
    log = run_recorded(lab, jobs)
    rates = {}
    for arm in arms:
        for steering, name in arm.treatments.items():
            at = stop_name(arm.name, tuned.steps(name))
            rates[name] = _rate(log, treatment(at, steering))
    return rates | {arm.name: _rate(log, arm.name) for arm in finished}


def against_successes(found: Replicates) -> dict[str, str]:
    """Treatment -> the best of those that are trained on the successes alone.

    That it is the best of several favours it by a little, and so the failures by none.
    """
    alone = [name for name in found.rates if name.startswith(_ON_SUCCESSES)]
    best = max(alone, key=lambda name: found.mean(name).mean)
    return {name: best for name in found.rates if name not in alone}


def _tuned_arms(cell: Cell, tuned: Budgets, family: Family | None) -> list[str]:
    return [
        arm.name
        for arm in arms_of(cell, None, family)
        if set(arm.treatments.values()) <= set(tuned.curves)
    ]


def _jobs_at_lengths(cell: Cell, arm: Arm, tuned: Budgets) -> list[Job]:
    """Runs that are rolled out at the tuned length of each steering."""
    lab = cell.lab
    stops = tuple(sorted({tuned.steps(name) for name in arm.treatments.values()}))
    longest = replace(arm, training=replace(arm.training, steps=stops[-1]))
    jobs = jobs_of(lab, [longest], lab.recipe.seeds, cell.demos, lab.recipe.evaluation)
    return [replace(job, stops=stops) for job in jobs]


def _finished(arm: Arm, tuned: Budgets) -> Arm:
    tuned_arm = replace(arm, training=replace(arm.training, steps=tuned.steps(arm.name)))
    return finish_arm(tuned_arm, FINISHED[arm.name], f"{arm.label}, then the successes alone")


def _rate(log: RolloutLog, name: str) -> float:
    return float(np.mean([r.success for r in log.rollouts if r.treatment == name]))

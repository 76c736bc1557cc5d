"""Ways to train compared, each at its own tuned length, the baseline as well as the method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from outtakes.evaluation.learning_curves import Budgets
from outtakes.evaluation.replicates import Replicates
from outtakes.evaluation.rollouts import RolloutLog, treatment
from outtakes.experiments.arm import Arm
from outtakes.experiments.budgets import arms_of
from outtakes.experiments.cell import Cell
from outtakes.experiments.pipeline import jobs_of
from outtakes.experiments.runs import Job, stop_name
from outtakes.experiments.study_log import run_recorded
from outtakes.experiments.ways import finish_arm

WAYS = "ways.json"
FINISHED = "finish-all"
_ON_SUCCESSES = ("act-s", "pb-s")


def compare_ways(
    cell: Cell, tuned: Budgets, names: Sequence[str] | None = None
) -> dict[str, float]:
    """One replicate; treatment -> success rate at its tuned length.

    Where all failures are a way, so is training on them as long and then briefly on the successes.

    Args:
        cell: its successes and failures.
        tuned: of every arm under every steering.
        names: of the arms; all that were tuned when None.

    Raises:
        ConfigError: when an arm was not tuned.
    """
    lab = cell.lab
    arms = arms_of(cell, names or _tuned_arms(cell, tuned))
    jobs = [job for arm in arms for job in _jobs_at_lengths(cell, arm, tuned)]
    finish = _finish(cell, tuned) if any(arm.name == "act-all" for arm in arms) else None
    if finish:
        jobs += jobs_of(lab, [finish], lab.recipe.seeds, cell.demos, lab.recipe.evaluation)
    log = run_recorded(lab, jobs)
    rates = {}
    for arm in arms:
        for steering, name in arm.treatments.items():
            at = stop_name(arm.name, tuned.steps(name))
            rates[name] = _rate(log, treatment(at, steering))
    if finish:
        rates[FINISHED] = _rate(log, FINISHED)
    return rates


def against_successes(found: Replicates) -> dict[str, str]:
    """Treatment -> the best of those that are trained on the successes alone.

    That it is the best of several favours it by a little, and so the failures by none.
    """
    alone = [name for name in found.rates if name.startswith(_ON_SUCCESSES)]
    best = max(alone, key=lambda name: found.mean(name).mean)
    return {name: best for name in found.rates if name not in alone}


def _tuned_arms(cell: Cell, tuned: Budgets) -> list[str]:
    return [arm.name for arm in arms_of(cell) if set(arm.treatments.values()) <= set(tuned.curves)]


def _jobs_at_lengths(cell: Cell, arm: Arm, tuned: Budgets) -> list[Job]:
    """Runs that are rolled out at the tuned length of each steering."""
    lab = cell.lab
    stops = tuple(sorted({tuned.steps(name) for name in arm.treatments.values()}))
    longest = replace(arm, training=replace(arm.training, steps=stops[-1]))
    jobs = jobs_of(lab, [longest], lab.recipe.seeds, cell.demos, lab.recipe.evaluation)
    return [replace(job, stops=stops) for job in jobs]


def _finish(cell: Cell, tuned: Budgets) -> Arm:
    recipe = cell.lab.recipe
    own = replace(recipe, train=replace(recipe.train, steps=tuned.steps("act-all")))
    label = "ACT, all failures, then the successes alone"
    return finish_arm(own, FINISHED, label, cell.successes, cell.failures)


def _rate(log: RolloutLog, name: str) -> float:
    return float(np.mean([r.success for r in log.rollouts if r.treatment == name]))

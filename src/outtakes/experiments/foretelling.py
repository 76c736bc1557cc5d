"""Held-out action error of ways to train that are rolled out, too: what advice without rollouts is
worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from outtakes.evaluation.foresight import Foretold
from outtakes.evaluation.learning_curves import Budgets
from outtakes.experiments.arm import Arm
from outtakes.experiments.budgets import arms_of
from outtakes.experiments.cell import Cell
from outtakes.experiments.held_out import FOLDS, folds
from outtakes.experiments.pipeline import jobs_of
from outtakes.experiments.runs import stop_name
from outtakes.experiments.study_log import held_out_recorded

FORESIGHT = "foresight.json"


def held_out_curves(
    cell: Cell, arms: Sequence[Arm], stops: Mapping[str, tuple[int, ...]]
) -> dict[tuple[str, int], float]:
    """Treatment and steps -> action error on held-out successes.

    Each arm is trained once for each fold of the successes, without that fold, with the first of
    the recipe's seeds.

    Args:
        cell: its successes and failures.
        arms: ways to train.
        stops: arm -> steps, ascending, at which to measure.

    Raises:
        DatasetError: when there are too few successes to hold some out.
    """
    seeds = cell.lab.recipe.seeds[:1]
    planned = [
        (arm, replace(job, stops=stops[arm.name], held_out=tuple(fold)))
        for arm in arms
        for i, fold in enumerate(folds(cell.demos))
        for job in jobs_of(cell.lab, [_without(arm, fold, i, stops)], seeds, cell.demos)
    ]
    found = held_out_recorded(cell.lab, [job for _, job in planned])
    errors: dict[tuple[str, int], list[float]] = {}
    for (arm, job), stages in zip(planned, found, strict=True):
        for steps in job.stops:
            own = stages[stop_name(job.arm.name, steps)]
            for steering, way in arm.treatments.items():
                errors.setdefault((way, steps), []).extend(own.by_steering[steering].tolist())
    return {key: float(np.mean(values)) for key, values in errors.items()}


def foretold_curves(cell: Cell, measured: Budgets) -> list[Foretold]:
    """Every way and length of learning curves that were rolled out, by both yardsticks.

    Args:
        cell: of the collection on which the curves were measured.
        measured: the curves.

    Raises:
        UnknownName: when a curve is of no arm that is known.
    """
    names = list(dict.fromkeys(name.partition(" ")[0] for name in measured.curves))
    arms = arms_of(cell, names)
    stops = {arm.name: _steps_of(measured, arm) for arm in arms}
    errors = held_out_curves(cell, arms, stops)
    return [
        Foretold(0, way, steps, errors[(way, steps)], float(rate))
        for way, curve in measured.curves.items()
        for steps, rate in zip(curve.steps, curve.means, strict=True)
    ]


def foretold_ways(
    cell: Cell, tuned: Budgets, rates: Mapping[str, float], replicate: int
) -> list[Foretold]:
    """Every way of a replicate at its tuned length, by both yardsticks.

    Args:
        cell: of the replicate.
        tuned: how long each way is trained.
        rates: way -> success rate.
        replicate: its number.
    """
    ways = [way for way in rates if way in tuned.curves]
    arms = arms_of(cell, list(dict.fromkeys(way.partition(" ")[0] for way in ways)))
    stops = {
        arm.name: tuple(sorted({tuned.steps(way) for way in arm.treatments.values()}))
        for arm in arms
    }
    errors = held_out_curves(cell, arms, stops)
    return [
        Foretold(replicate, way, tuned.steps(way), errors[(way, tuned.steps(way))], rates[way])
        for way in ways
    ]


def _steps_of(measured: Budgets, arm: Arm) -> tuple[int, ...]:
    way = next(iter(arm.treatments.values()))
    return measured.curves[way].steps


def _without(arm: Arm, fold: Sequence[int], i: int, stops: Mapping[str, tuple[int, ...]]) -> Arm:
    return replace(
        arm,
        name=f"{arm.name}-without-{i}",
        label=f"{arm.label}, part {i + 1} of {FOLDS} held out",
        episodes=tuple(e for e in arm.episodes if e not in fold),
        training=replace(arm.training, steps=stops[arm.name][-1]),
    )

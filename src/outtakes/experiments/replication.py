"""Studies as they are run: cells for tuning, and replicates for what is reported.

A replicate has demonstrations, initial states and training seeds that no other has; a study for
tuning has collections and initial states that nothing reported uses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from outtakes.errors import ConfigError
from outtakes.evaluation.foresight import Foresight, Foretold
from outtakes.evaluation.learning_curves import BUDGETS, Budgets
from outtakes.evaluation.replicates import Replicates
from outtakes.experiments import budgets, comparing, screening, worth
from outtakes.experiments.budgets import Family, any_length, on_tuning_states
from outtakes.experiments.cell import TUNING_COLLECTION, Cell, prepare_cell
from outtakes.experiments.foretelling import FORESIGHT, foretold_curves, foretold_ways
from outtakes.experiments.guided_rounds import AfilPlan, Failures, guided_rounds
from outtakes.experiments.lab import Lab
from outtakes.experiments.screening import ScreeningPlan
from outtakes.experiments.worth import WorthPlan

AFIL = "afil.json"


def cell(
    lab: Lab,
    successes: int,
    *,
    collection: int | None = None,
    rollouts: int | None = None,
    tuning: bool = False,
) -> Cell:
    """A cell of a study: so many successes and the failures of one collection.

    Its runs are trained at a constant rate and act by averaged weights, so that their length is
    free; its demonstrations have no images.

    Args:
        lab: the study's folder, and a recipe.
        successes: how many, from the first.
        collection: collection seed; the recipe's own, or one for tuning, when None.
        rollouts: of every run; the recipe's when None.
        tuning: roll out from initial states that nothing reported uses.

    Raises:
        ConfigError: when fewer successes were collected.
    """
    own = lab.recipe
    default = TUNING_COLLECTION if tuning else own.collect.seed
    seed = default if collection is None else collection
    collect = replace(own.collect, cameras=(), seed=seed)
    recipe = any_length(replace(own, collect=collect, rollouts=rollouts or own.rollouts))
    if tuning:
        recipe = on_tuning_states(recipe)
    return prepare_cell(replace(lab, recipe=recipe), successes)


def replicate(
    lab: Lab, number: int, successes: int, *, rollouts: int | None = None, tuning: bool = False
) -> Cell:
    """The cell of a replicate, in the folder `replicate-<number>`.

    It has collection seed number + 1 (or one for tuning), initial states of seed `number`, and
    training seeds that follow on those of the replicate before.
    """
    recipe = lab.recipe
    seeds = tuple(number * len(recipe.seeds) + seed for seed in recipe.seeds)
    states = replace(recipe.states, seed=number)
    own = replace(
        lab,
        recipe=replace(recipe, seeds=seeds, states=states),
        out=lab.out / f"replicate-{number}",
    )
    collection = number + (TUNING_COLLECTION if tuning else 1)
    return cell(own, successes, collection=collection, rollouts=rollouts, tuning=tuning)


def measure_budgets(
    cell: Cell,
    *,
    arms: Sequence[str] | None = None,
    lengths: Sequence[int] | None = None,
    family: Family = "act",
) -> Budgets:
    """The learning curve of every way to train of a cell; leaves `budgets.json`.

    Args:
        cell: its successes and failures.
        arms: which ways; all of the family when None.
        lengths: optimiser steps; `budgets.LENGTHS` when None.
        family: ways to train which policy.

    Raises:
        UnknownName: when there is no arm of a name.
    """
    lab, chosen = cell.lab, budgets.arms_of(cell, arms, family)
    found = budgets.measure_budgets(lab, cell.demos, chosen, lengths=lengths or budgets.LENGTHS)
    found.save(lab.out / BUDGETS)
    return found


def foretell(cell: Cell, measured: Budgets) -> Foresight:
    """How far held-out action error tells the learning curves that were rolled out on the cell;
    leaves `foresight.json`."""
    found = Foresight(tuple(foretold_curves(cell, measured)))
    found.save(cell.lab.out / FORESIGHT)
    return found


def screen(
    lab: Lab,
    plan: ScreeningPlan,
    *,
    successes: int,
    replicates: int,
    rollouts: int | None = None,
    tuning: bool = False,
) -> Replicates:
    """Rankers judged by the policies they make; leaves `screening.json`.

    Args:
        lab: the study's folder, and a recipe.
        plan: which selections to train on.
        successes: how many of each collection, from the first.
        replicates: how many; those that were done before are only read.
        rollouts: of every run; the recipe's when None.
        tuning: on collections and initial states that nothing reported uses.

    Raises:
        ConfigError: when fewer successes or failures were collected than are asked for.
        UnknownName: when there is no such ranker.
    """
    found = _each(
        replicates,
        lambda r: screening.screen(
            replicate(lab, r, successes, rollouts=rollouts, tuning=tuning), plan
        ),
    )
    found.save(lab.out / screening.SCREENING, screening.at_random(found))
    return found


def compare_ways(
    lab: Lab,
    tuned: Budgets,
    *,
    successes: int,
    replicates: int,
    arms: Sequence[str] | None = None,
    family: Family | None = None,
    rollouts: int | None = None,
    tuning: bool = False,
    held_out: bool = False,
) -> Replicates:
    """Ways to train, each as long as it was tuned to be; leaves `ways.json`.

    Args:
        lab: the study's folder, and a recipe.
        tuned: of every arm.
        successes: how many of each collection, from the first.
        replicates: how many; those that were done before are only read.
        arms: which ways; all that were tuned when None.
        family: ways to train which policy; any when None.
        rollouts: of every run; the recipe's when None.
        tuning: on collections and initial states that nothing reported uses.
        held_out: also measure each way's action error on held-out successes; leaves
            `foresight.json`.

    Raises:
        ConfigError: when an arm was not tuned, or fewer successes were collected.
    """
    foretold: list[Foretold] = []

    def measure(number: int) -> Mapping[str, float]:
        own = replicate(lab, number, successes, rollouts=rollouts, tuning=tuning)
        rates = comparing.compare_ways(own, tuned, arms, family)
        if held_out:
            foretold.extend(foretold_ways(own, tuned, rates, number))
        return rates

    found = _each(replicates, measure)
    found.save(lab.out / comparing.WAYS, comparing.against_successes(found))
    if held_out:
        Foresight(tuple(foretold)).save(lab.out / FORESIGHT)
    return found


def measure_worth(
    lab: Lab, plan: WorthPlan, *, replicates: int, rollouts: int | None = None
) -> Replicates:
    """What failures are worth in successes; leaves `worth.json`.

    Args:
        lab: the study's folder, and a recipe, which must collect as many successes as the plan's
            greatest number.
        plan: numbers of successes, and how long to train.
        replicates: how many; those that were done before are only read.
        rollouts: of every run; the recipe's when None.

    Raises:
        ConfigError: when fewer successes were collected.
    """
    most = max(plan.numbers)
    found = _each(
        replicates,
        lambda r: worth.success_by_number(replicate(lab, r, most, rollouts=rollouts), plan),
    )
    found.save(lab.out / worth.WORTH, worth.with_against_without(plan))
    return found


def compare_alphas(
    lab: Lab,
    alphas: Sequence[float],
    *,
    origins: Sequence[Failures] = ("demonstrated", "own"),
    count: int = 20,
    successes: int,
    replicates: int,
    rollouts: int | None = None,
    tuning: bool = False,
) -> Replicates:
    """AFIL at several α beside its controls, by where the failures are from; leaves `afil.json`.

    Args:
        lab: the study's folder, and a recipe.
        alphas: strengths of the guidance.
        origins: of the failures.
        count: failures of its own to find.
        successes: how many of each collection, from the first.
        replicates: how many; those that were done before are only read.
        rollouts: of every run; the recipe's when None.
        tuning: on collections and initial states that nothing reported uses.

    Raises:
        ConfigError: when fewer successes were collected, or a policy hardly ever fails.
    """

    def measure(number: int) -> Mapping[str, float]:
        own, rates = replicate(lab, number, successes, rollouts=rollouts, tuning=tuning), {}
        for origin in origins:
            plan = AfilPlan(failures=origin, count=count, alphas=tuple(alphas))
            (found,) = guided_rounds(replace(own.lab, out=own.lab.out / origin), own.demos, plan)
            rates |= {f"{origin}: {name}": rate.rate for name, rate in found.rates.items()}
        return rates

    found = _each(replicates, measure)
    found.save(lab.out / AFIL, against_flow(found))
    return found


def against_flow(found: Replicates) -> dict[str, str]:
    """Treatment -> the flow policy of the successes alone beside it."""
    alone = {name: f"{name.partition(': ')[0]}: flow-s" for name in found.rates}
    return {name: own for name, own in alone.items() if name != own}


def _each(replicates: int, measure: Callable[[int], Mapping[str, float]]) -> Replicates:
    if replicates < 1:
        raise ConfigError(f"{replicates} replicates", remedy="ask for at least 1")
    return Replicates.of([measure(number) for number in range(replicates)])

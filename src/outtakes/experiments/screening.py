"""Rankers judged by the policies they make: what each one's choice of failures is worth.

A ranker is worth something when a policy trained on the failures it puts first does better than
one trained on as many at random, and one trained on those it puts last does worse. Everything is
repeated in replicates, each with demonstrations, initial states and training seeds of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from outtakes.evaluation.learning_curves import Budgets
from outtakes.evaluation.replicates import Replicates
from outtakes.evaluation.rollouts import RolloutLog
from outtakes.experiments.arm import Arm
from outtakes.experiments.budgets import AT_RANDOM
from outtakes.experiments.cell import Cell
from outtakes.experiments.folder import DATASET
from outtakes.experiments.pipeline import jobs_of, run_jobs
from outtakes.experiments.study_log import run_recorded
from outtakes.experiments.triage import ranking_jobs
from outtakes.policy.checkpoint import Checkpoint
from outtakes.ranking.combination import parse, rank_by, runs_for
from outtakes.ranking.scores import Scores
from outtakes.selection.select import select

SCREENING = "screening.json"
NONE, SOME, ALL, RANDOM = "none", "some", "all", "random"
ENDS = ("best", "worst")


@dataclass(frozen=True)
class ScreeningPlan:
    """Which selections to train on."""

    rankers: tuple[str, ...]
    """Names, or several joined by commas."""
    counts: tuple[int, ...] = (15,)
    """How many failures to keep; a selection of each size by each ranker, and at random."""
    ends: tuple[str, ...] = ENDS
    """Which ends of each ranking to keep."""
    draws: int = 2
    """Random selections of each size."""
    steps: Mapping[str, int] | None = None
    """Training length with no failures ("none"), some ("some") and all of them ("all"), as tuned
    (`tuned_steps`); the recipe's when None."""


def tuned_steps(tuned: Budgets) -> dict[str, int]:
    """Training lengths of a plan, as they were tuned.

    Raises:
        ConfigError: when no failures, some or all of them were not tuned.
    """
    return {
        NONE: tuned.steps("act-s"),
        SOME: tuned.steps(f"act-{AT_RANDOM}"),
        ALL: tuned.steps("act-all"),
    }


def at_random(found: Replicates) -> dict[str, str]:
    """Selection by a ranker -> the random one of its size."""
    sizes = [name for name in found.rates if name.startswith(f"{RANDOM} ")]
    by_size = {name.rpartition(" ")[2]: name for name in sizes}
    others = [name for name in found.rates if name not in (*sizes, NONE, ALL)]
    return {name: by_size[name.rpartition(" ")[2]] for name in others}


def screen(cell: Cell, plan: ScreeningPlan) -> Mapping[str, float]:
    """One replicate: rank, select, retrain and roll out; selection -> success rate."""
    lab = cell.lab
    rankings = rank_all(cell, plan.rankers)
    arms = [*control_arms(cell, plan), *selected_arms(cell, plan, rankings)]
    jobs = jobs_of(lab, arms, lab.recipe.seeds, cell.demos, lab.recipe.evaluation)
    return rates_of(run_recorded(lab, jobs), plan)


def rank_all(cell: Cell, names: Sequence[str]) -> dict[str, Scores]:
    """Ranker -> its scores of the cell's failures, from runs that are trained where needed.

    What was ranked before is read from `scores/<ranker>.json`.
    """
    lab, rankings = cell.lab, {}
    paths = {name: lab.out / "scores" / f"{name}.json" for name in names}
    parts = {name: parse(name) for name in names if not paths[name].exists()}
    jobs = ranking_jobs(lab, cell.demos, [part for own in parts.values() for part in own])
    if jobs:
        run_jobs(lab, jobs, stage="train for ranking")
    runs = [Checkpoint.load(job.run) for job in jobs]
    for name in names:
        if name in parts:
            lab.say(len(rankings), len(names), f"rank by {name}")
            own = parts[name]
            fitting = runs_for(own[0].ranker, runs, cell.demos) if len(own) == 1 else runs
            scores = rank_by(own, fitting, cell.demos, device=lab.device)
            # Not where it lay on this machine: what a study leaves is read on others.
            replace(scores, dataset=DATASET).save(paths[name])
        rankings[name] = Scores.load(paths[name])
    return rankings


def control_arms(cell: Cell, plan: ScreeningPlan) -> list[Arm]:
    """No failures, all of them, and as many as are selected at random."""
    steps = plan.steps or {}
    arms = [
        cell.act(NONE, [], steps=steps.get(NONE)),
        cell.act(ALL, cell.failures, steps=steps.get(ALL)),
    ]
    for draw in range(plan.draws):
        rng = np.random.default_rng([7, draw])
        order = rng.permutation(cell.failures).tolist()
        arms += [
            cell.act(f"{RANDOM}-{draw} {count}", sorted(order[:count]), steps=steps.get(SOME))
            for count in plan.counts
        ]
    return arms


def selected_arms(cell: Cell, plan: ScreeningPlan, rankings: Mapping[str, Scores]) -> list[Arm]:
    """ACT on the successes and the failures at each end of each ranking."""
    steps, arms = plan.steps or {}, []
    for name, scores in rankings.items():
        for end in plan.ends:
            for count in plan.counts:
                kept = select(scores, cell.successes, keep=end, count=count).kept
                failures = [episode for episode in kept if episode in cell.failures]
                arms.append(cell.act(f"{name} {end} {count}", failures, steps=steps.get(SOME)))
    return arms


def rates_of(log: RolloutLog, plan: ScreeningPlan) -> dict[str, float]:
    """Selection -> success rate of one replicate; of "random <k>" over all draws."""
    rates = {arm: float(np.mean(list(own.values()))) for arm, own in log.outcomes().items()}
    for count in plan.counts:
        draws = [rates.pop(f"{RANDOM}-{draw} {count}") for draw in range(plan.draws)]
        if draws:
            rates[f"{RANDOM} {count}"] = float(np.mean(draws))
    return rates

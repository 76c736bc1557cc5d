"""The demo: few successes, many failures. Does it pay to train on the failures, and on which?

It reads from top to bottom as the experiment goes: collect, train, rank, select, retrain, roll out,
compare. Everything it leaves is a named artifact in one folder, and calling it again does only what
is missing.
"""

from __future__ import annotations

from dataclasses import replace

from outtakes.data.demo import DemoSet, Outcome
from outtakes.evaluation.comparison import Comparison, compare
from outtakes.evaluation.learning_curves import BUDGETS, Budgets
from outtakes.experiments.arm import Arm, act_arm, bias_arm
from outtakes.experiments.budgets import AT_RANDOM as SOME
from outtakes.experiments.budgets import any_length
from outtakes.experiments.datasets import check_both_outcomes, collect_dataset, read_demos
from outtakes.experiments.folder import COMPARISON, SELECTION
from outtakes.experiments.lab import Lab
from outtakes.experiments.pipeline import jobs_of, run_jobs
from outtakes.experiments.recipes import Recipe
from outtakes.experiments.runs import ROLLOUTS, Job
from outtakes.experiments.setting_up import write_simulated_setup
from outtakes.experiments.study import rank_by_runs
from outtakes.experiments.tuned import tuned_budgets
from outtakes.experiments.ways import BASELINE, RANKED
from outtakes.ranking.ranker import ranker
from outtakes.ranking.scores import Scores
from outtakes.selection.select import Selection, select, select_at_random

SUCCESSES = 10
"""Successes at the most: where they are few, it matters what is done with the failures."""
RANKER = "attention-rank"
"""What the failures are ranked by."""
CHOSEN, AT_RANDOM = "act-best", "act-random"
"""The arms retrained on the failures that were chosen, and on as many at random."""
_TUNED = (BASELINE, "act-all", f"act-{SOME}", f"{RANKED} (mean)")
"""Treatments whose tuned lengths are used."""
SHOWN = ((BASELINE, ""), ("act-all", ""), (CHOSEN, ""))
"""Arms whose rollouts the report shows side by side, and how they are steered."""


def demo(lab: Lab) -> Comparison:
    """Whether failures help, and which; leaves every artifact in `lab.out`."""
    tuned = tuned_budgets(lab.recipe, SUCCESSES)
    lab = replace(lab, recipe=_of_few_successes(lab, tuned))
    demos = read_demos(lab, collect_dataset(lab))
    check_both_outcomes(demos)
    if tuned is not None:
        tuned.of(_TUNED).save(lab.out / BUDGETS)
    arms = _arms_on_all(lab, demos, tuned)
    seeds, evaluation = lab.recipe.seeds, lab.recipe.evaluation
    log = run_jobs(lab, jobs_of(lab, arms, seeds, demos, evaluation))
    scores = rank_by_runs(lab, demos, ranker(RANKER), seeds)
    selection = select(scores, demos.episodes(Outcome.SUCCESS), keep="best", count=lab.recipe.keep)
    selection.save(lab.out / SELECTION)
    chosen = _retrained(lab, demos, selection, tuned, CHOSEN, "that were ranked first")
    at_random = _random_jobs(lab, demos, scores, tuned)
    jobs = [*jobs_of(lab, [chosen], seeds, demos, evaluation), *at_random]
    log = log.merged(run_jobs(lab, jobs))
    log.save(lab.out / ROLLOUTS)
    comparison = compare(log.outcomes(), baseline=BASELINE, treatment=CHOSEN)
    comparison.save(lab.out / COMPARISON)
    write_simulated_setup(
        lab, demos, "do failures help, and which", CHOSEN, [*arms, chosen, at_random[0].arm]
    )
    return comparison


def _of_few_successes(lab: Lab, tuned: Budgets | None) -> Recipe:
    recipe = lab.recipe
    collect = replace(recipe.collect, successes=min(recipe.collect.successes, SUCCESSES))
    recipe = replace(recipe, collect=collect)
    return recipe if tuned is None else any_length(recipe)


def _arms_on_all(lab: Lab, demos: DemoSet, tuned: Budgets | None) -> list[Arm]:
    """No failures, all of them, and all of them by the method whose attention ranks them."""
    successes, failures = demos.episodes(Outcome.SUCCESS), demos.episodes(Outcome.FAILURE)
    both, recipe = [*successes, *failures], lab.recipe
    plus = f"{len(successes)} successes + all {len(failures)} failures"
    arms = [
        act_arm(recipe, BASELINE, f"ACT, {len(successes)} successes", successes),
        act_arm(recipe, "act-all", f"ACT, {plus}", both),
        bias_arm(recipe, RANKED, f"PB + KL, {plus}", both),
    ]
    return [_for_as_long(arm, tuned, list(arm.treatments.values())[-1]) for arm in arms]


def _retrained(
    lab: Lab, demos: DemoSet, selection: Selection, tuned: Budgets | None, name: str, which: str
) -> Arm:
    successes = demos.episodes(Outcome.SUCCESS)
    label = f"ACT, {len(successes)} successes + {len(selection.kept) - len(successes)} failures"
    arm = act_arm(lab.recipe, name, f"{label} {which}", selection.kept)
    return _for_as_long(arm, tuned, f"act-{SOME}")


def _random_jobs(lab: Lab, demos: DemoSet, scores: Scores, tuned: Budgets | None) -> list[Job]:
    """As many failures at random; each seed trains on another of the disjoint random folds."""
    successes, keep = demos.episodes(Outcome.SUCCESS), lab.recipe.keep
    jobs = []
    for seed in lab.recipe.seeds:
        drawn = select_at_random(scores, successes, count=keep, seed=seed)
        arm = _retrained(lab, demos, drawn, tuned, AT_RANDOM, "at random")
        jobs += jobs_of(lab, [arm], [seed], demos, lab.recipe.evaluation)
    return jobs


def _for_as_long(arm: Arm, tuned: Budgets | None, name: str) -> Arm:
    """The arm, trained as long as was best for the treatment of this name."""
    if tuned is None:
        return arm
    return replace(arm, training=replace(arm.training, steps=tuned.steps(name)))

"""The paper's two experiments and our controls, as plain functions.

Each function reads from top to bottom as the experiment goes: collect, train, rank, select,
retrain, roll out, compare. Everything it leaves is a named artifact in one folder, and calling it
again does only what is missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from outtakes.data.demo import DemoSet, Outcome
from outtakes.errors import ConfigError
from outtakes.evaluation.comparison import Comparison, compare
from outtakes.evaluation.rollouts import RolloutLog, treatment
from outtakes.experiments.arm import Arm
from outtakes.experiments.datasets import check_both_outcomes, collect_dataset, read_demos
from outtakes.experiments.folder import COMPARISON, SCORES, SELECTION
from outtakes.experiments.lab import Lab
from outtakes.experiments.pipeline import jobs_of, run_jobs
from outtakes.experiments.recipes import check_seeds
from outtakes.experiments.runs import ROLLOUTS, Job, run_folder
from outtakes.experiments.setting_up import write_simulated_setup
from outtakes.experiments.tables import write_tables
from outtakes.experiments.ways import (
    BASELINE,
    RANKED,
    SELECTED,
    all_failures_arms,
    experiment_2_arms,
)
from outtakes.policy.checkpoint import FILE, Checkpoint
from outtakes.ranking.attention.scoring import AttentionRanker
from outtakes.ranking.ranker import Ranker
from outtakes.ranking.scores import Scores, rank
from outtakes.selection.select import select, select_at_random

SHOWN = ((BASELINE, ""), (RANKED, "nearest"), (SELECTED, "mean"))
"""Arms whose rollouts the report shows side by side, and how they are steered."""
RANKING_SEEDS = 5
"""Training seeds the ranking averages over, as in the paper."""


def random_jobs(lab: Lab, demos: DemoSet, scores: Scores, seeds: Sequence[int]) -> list[Job]:
    """Table 2's random selection: each seed trains on another of the disjoint random folds."""
    successes, keep = demos.episodes(Outcome.SUCCESS), lab.recipe.keep
    jobs = []
    for seed in seeds:
        chosen = select_at_random(scores, successes, count=keep, seed=seed)
        failures = [episode for episode in chosen.kept if episode not in successes]
        arms = experiment_2_arms(lab.recipe, successes, {"random": failures})
        jobs += jobs_of(lab, arms, [seed], demos, lab.recipe.evaluation)
    return jobs


# --- experiments ----------------------------------------------------------------------------------


def rank_by_runs(lab: Lab, demos: DemoSet, by: Ranker, seeds: Sequence[int]) -> Scores:
    """The ranking by the `RANKED` runs of these seeds; read when it is younger than they are."""
    runs = [run_folder(lab.out, RANKED, seed) for seed in seeds]
    path = lab.out / SCORES
    if path.exists() and all((run / FILE).stat().st_mtime < path.stat().st_mtime for run in runs):
        scores = Scores.load(path)
        made_of = (scores.content_hash, scores.seeds, scores.measure.key)
        if made_of == (demos.content_hash, sorted(seeds), by.measure.key):
            return scores
    with lab.timed("rank"):
        loaded = map(Checkpoint.load, runs)
        scores = rank(by, loaded, demos, device=lab.device, progress=lab.progress)
        scores.save(path)
    return scores


def _run_arms(lab: Lab, demos: DemoSet, arms: Sequence[Arm], seeds: Sequence[int]) -> RolloutLog:
    """Train and roll out every arm with every seed."""
    return run_jobs(lab, jobs_of(lab, arms, seeds, demos, lab.recipe.evaluation))


@dataclass(frozen=True)
class StudyPlan:
    """How much of the paper's study to run."""

    seeds: tuple[int, ...] = tuple(range(10))
    """Training seeds of Experiment 1 and the controls."""
    selection_seeds: tuple[int, ...] = tuple(range(5))
    """Training seeds of Experiment 2."""
    few_successes: tuple[int, ...] = (10, 20)
    """Numbers of successes to repeat Experiment 1 with, beside all failures; those that the
    dataset does not exceed are left out."""

    def __post_init__(self) -> None:
        if not self.seeds or not self.selection_seeds or min(self.few_successes, default=1) < 1:
            raise ConfigError(
                f"a study of {len(self.seeds)} seeds, {len(self.selection_seeds)} selection seeds "
                f"and successes {list(self.few_successes)}",
                remedy="give at least one seed for each experiment, and at least 1 success",
            )
        check_seeds(self.seeds)
        check_seeds(self.selection_seeds)


def paper(lab: Lab, plan: StudyPlan) -> dict[str, Comparison]:
    """Experiments 1 and 2 of the paper, our controls, and the same with few successes.

    Returns:
        Comparison by experiment: "experiment-1", "experiment-2", "successes-10", ...
    """
    demos = read_demos(lab, collect_dataset(lab))
    check_both_outcomes(demos)
    successes, failures = demos.episodes(Outcome.SUCCESS), demos.episodes(Outcome.FAILURE)
    comparisons, arms = {}, {}

    first = all_failures_arms(lab.recipe, successes, failures)
    log = _run_arms(lab, demos, first, plan.seeds)
    comparisons["experiment-1"] = compare(
        log.outcomes(), baseline=BASELINE, treatment=treatment(RANKED, "mean")
    )
    arms["experiment-1"] = first

    scores = rank_by_runs(lab, demos, AttentionRanker(), plan.seeds[:RANKING_SEEDS])
    groups = {}
    for group in ("low", "mid", "high"):
        selection = select(scores, successes, keep=group, count=lab.recipe.keep)
        selection.save(lab.out / (SELECTION if group == "low" else f"{group}.json"))
        groups[group] = [e for e in selection.kept if e not in successes]
    second = experiment_2_arms(lab.recipe, successes, groups)
    at_random = random_jobs(lab, demos, scores, plan.selection_seeds)
    jobs = jobs_of(lab, second, plan.selection_seeds, demos, lab.recipe.evaluation)
    chosen = run_jobs(lab, [*jobs, *at_random])
    baseline = RolloutLog([r for r in log.rollouts if r.arm == BASELINE])
    log_2 = baseline.merged(chosen)
    comparisons["experiment-2"] = compare(
        log_2.outcomes(), baseline=BASELINE, treatment=treatment(SELECTED, "mean")
    )
    arms["experiment-2"] = [first[0], *second, at_random[0].arm, at_random[1].arm]
    log = log.merged(chosen)

    for count in sorted({count for count in plan.few_successes if count < len(successes)}):
        few, fewer_log = few_successes(lab, demos, successes[:count], failures, plan.seeds)
        name = f"successes-{count}"
        comparisons[name] = compare(
            fewer_log.outcomes(), baseline=few[0].name, treatment=treatment(few[3].name, "mean")
        )
        arms[name] = few
        log = log.merged(fewer_log)

    log.save(lab.out / ROLLOUTS)
    for name, comparison in comparisons.items():
        comparison.save(lab.out / f"{name}.json")
    comparisons["experiment-2"].save(lab.out / COMPARISON)
    write_simulated_setup(lab, demos, "the paper's Experiment 2", SELECTED, arms["experiment-2"])
    write_tables(lab, comparisons, arms)
    return comparisons


def few_successes(
    lab: Lab,
    demos: DemoSet,
    successes: Sequence[int],
    failures: Sequence[int],
    seeds: Sequence[int],
) -> tuple[list[Arm], RolloutLog]:
    """Experiment 1 and its controls with fewer successes beside the same failures."""
    suffix = f"-{len(successes)}"
    everything = all_failures_arms(lab.recipe, successes, failures)
    arms = [replace(arm, name=arm.name + suffix, paper="") for arm in everything]
    return arms, _run_arms(lab, demos, arms, seeds)

"""The experiments: the paper's two, our controls, and the demo, as plain functions.

Each function reads from top to bottom as the experiment goes: collect, train, rank, select,
retrain, roll out, compare. Everything it leaves is a named artifact in one folder, and calling it
again does only what is missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from outtakes.arms import (
    Arm,
    Job,
    jobs_of,
    mean_of,
    run_folder,
)
from outtakes.data.demo import DemoSet, Outcome
from outtakes.errors import ConfigError
from outtakes.evaluation.comparison import Comparison, compare
from outtakes.evaluation.rollouts import RolloutLog
from outtakes.ledger import write_simulated_setup, write_tables
from outtakes.recipes import check_seeds
from outtakes.selection.scores import Scores
from outtakes.selection.select import select
from outtakes.stages import (
    Lab,
    check_both_outcomes,
    collect_dataset,
    rank,
    read_demos,
    run_arms,
    run_jobs,
)
from outtakes.training.checkpoint import FILE

RANKING_SEEDS = 5
"""Training seeds the ranking averages over, as in the paper."""
BASELINE, RANKED, SELECTED = "act-s", "pb-kl-all", "pb-kl-low"
"""The arm everything is compared with, the arm whose attention ranks the failures, and the arm
retrained on the failures it ranks nearest."""


# --- arms -----------------------------------------------------------------------------------------


def experiment_1_arms(successes: Sequence[int], failures: Sequence[int]) -> list[Arm]:
    """Table 1 of the paper: ACT and the method, without and with all failures."""
    both = [*successes, *failures]
    n, m = len(successes), len(failures)
    return [
        Arm("act-s", f"ACT, {n} successes", "none", successes, paper="71.0 ± 3.4"),
        Arm("act-all", f"ACT, {n} successes + {m} failures", "none", both, paper="71.6 ± 5.2"),
        Arm("pb-s", f"PB, {n} successes", "pb", successes, paper="74.2 ± 3.6"),
        Arm(RANKED, f"PB + KL, {n} successes + {m} failures", "pb", both, paper="77.8 ± 2.6"),
    ]


def control_arms(successes: Sequence[int], failures: Sequence[int]) -> list[Arm]:
    """What the paper lacks: cheap ways to use all failures that the method must beat."""
    both = [*successes, *failures]
    return [
        Arm("pb-all", "PB without KL, all failures", "pb", both, kl=False),
        Arm("label-all", "One-bit label token, all failures", "label", both),
        Arm("act-balanced", "ACT, class-balanced, all failures", "none", both, balanced=True),
    ]


def experiment_2_arms(successes: Sequence[int], groups: Mapping[str, Sequence[int]]) -> list[Arm]:
    """Table 2 of the paper: ACT and the method on successes and one group of failures."""
    paper = {
        ("none", "low"): "74.2 ± 7.4",
        ("none", "mid"): "76.0 ± 5.7",
        ("none", "high"): "70.4 ± 7.4",
        ("pb", "low"): "79.4 ± 4.6",
        ("pb", "mid"): "78.6 ± 2.1",
        ("pb", "high"): "71.8 ± 3.4",
    }
    models = (("none", "act", "ACT"), ("pb", "pb-kl", "PB + KL"))
    return [
        Arm(
            f"{prefix}-{group}",
            f"{model}, + {len(failures)} {_GROUP_WORDS[group]} failures",
            condition,  # type: ignore[arg-type]
            [*successes, *failures],
            paper=paper[condition, group],
        )
        for group, failures in groups.items()
        for condition, prefix, model in models
    ]


_GROUP_WORDS = {"low": "nearest", "mid": "middle", "high": "farthest"}


def random_jobs(lab: Lab, demos: DemoSet, scores: Scores, seeds: Sequence[int]) -> list[Job]:
    """Table 2's random selection: each seed trains on another of the disjoint random folds."""
    successes = demos.episodes(Outcome.SUCCESS)
    folds = max(1, len(scores.failures) // lab.recipe.keep)
    jobs = []
    for seed in seeds:
        chosen = select(scores, successes, keep="random", count=lab.recipe.keep, fold=seed % folds)
        for condition, prefix, model, paper in (
            ("none", "act", "ACT", "72.8 ± 5.6"),
            ("pb", "pb-kl", "PB + KL", "75.8 ± 5.4"),
        ):
            label = f"{model}, + {lab.recipe.keep} random failures"
            arm = Arm(f"{prefix}-random", label, condition, chosen.kept, paper=paper)  # type: ignore[arg-type]
            jobs += jobs_of([arm], [seed], demos, lab.recipe, lab.out, lab.device)
    return jobs


# --- experiments ----------------------------------------------------------------------------------


def demo(lab: Lab) -> Comparison:
    """The main job: do the selected failures help? Leaves every artifact in `lab.out`."""
    demos = read_demos(lab, collect_dataset(lab))
    check_both_outcomes(demos)
    successes, failures = demos.episodes(Outcome.SUCCESS), demos.episodes(Outcome.FAILURE)
    seeds, keep = lab.recipe.seeds, lab.recipe.keep
    arms = experiment_1_arms(successes, failures)
    log = run_arms(lab, demos, arms, seeds)
    scores = _rank_by(lab, demos, seeds)
    selection = select(scores, successes, keep="low", count=keep)
    selection.save(lab.out / "selection.json")
    chosen = [e for e in selection.kept if e not in successes]
    low = [a for a in experiment_2_arms(successes, {"low": chosen}) if a.condition == "pb"]
    at_random = [job for job in random_jobs(lab, demos, scores, seeds) if job.arm.condition == "pb"]
    jobs = jobs_of(low, seeds, demos, lab.recipe, lab.out, lab.device)
    log = log.merged(run_jobs(lab, [*jobs, *at_random]))
    log.save(lab.out / "rollouts.parquet")
    comparison = compare(log.outcomes(), baseline=BASELINE, treatment=mean_of(SELECTED))
    comparison.save(lab.out / "comparison.json")
    write_simulated_setup(lab, "which failures help", SELECTED, [*arms, *low, at_random[0].arm])
    return comparison


def _rank_by(lab: Lab, demos: DemoSet, seeds: Sequence[int]) -> Scores:
    """The ranking of these seeds' runs; read, not made again, when it is younger than they are."""
    runs = [run_folder(lab.out, RANKED, seed) for seed in seeds]
    path = lab.out / "scores.json"
    if path.exists() and all((run / FILE).stat().st_mtime < path.stat().st_mtime for run in runs):
        scores = Scores.load(path)
        if (scores.content_hash, scores.seeds) == (demos.content_hash, sorted(seeds)):
            return scores
    with lab.timed("rank"):
        return rank(lab, demos, runs)


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

    first = experiment_1_arms(successes, failures) + control_arms(successes, failures)
    log = run_arms(lab, demos, first, plan.seeds)
    comparisons["experiment-1"] = compare(
        log.outcomes(), baseline=BASELINE, treatment=mean_of(RANKED)
    )
    arms["experiment-1"] = first

    scores = _rank_by(lab, demos, plan.seeds[:RANKING_SEEDS])
    groups = {}
    for group in ("low", "mid", "high"):
        selection = select(scores, successes, keep=group, count=lab.recipe.keep)
        selection.save(lab.out / ("selection.json" if group == "low" else f"{group}.json"))
        groups[group] = [e for e in selection.kept if e not in successes]
    second = experiment_2_arms(successes, groups)
    at_random = random_jobs(lab, demos, scores, plan.selection_seeds)
    jobs = jobs_of(second, plan.selection_seeds, demos, lab.recipe, lab.out, lab.device)
    chosen = run_jobs(lab, [*jobs, *at_random])
    baseline = RolloutLog([r for r in log.rollouts if r.arm == BASELINE])
    log_2 = baseline.merged(chosen)
    comparisons["experiment-2"] = compare(
        log_2.outcomes(), baseline=BASELINE, treatment=mean_of(SELECTED)
    )
    arms["experiment-2"] = [first[0], *second, at_random[0].arm, at_random[1].arm]
    log = log.merged(chosen)

    for count in sorted({count for count in plan.few_successes if count < len(successes)}):
        few, fewer_log = few_successes(lab, demos, successes[:count], failures, plan.seeds)
        name = f"successes-{count}"
        comparisons[name] = compare(
            fewer_log.outcomes(), baseline=few[0].name, treatment=mean_of(few[3].name)
        )
        arms[name] = few
        log = log.merged(fewer_log)

    log.save(lab.out / "rollouts.parquet")
    for name, comparison in comparisons.items():
        comparison.save(lab.out / f"{name}.json")
    comparisons["experiment-2"].save(lab.out / "comparison.json")
    write_simulated_setup(lab, "the paper's Experiment 2", SELECTED, arms["experiment-2"])
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
    everything = experiment_1_arms(successes, failures) + control_arms(successes, failures)
    arms = [replace(arm, name=arm.name + suffix, paper="") for arm in everything]
    return arms, run_arms(lab, demos, arms, seeds)

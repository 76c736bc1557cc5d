"""The experiments: the paper's two, our controls, and the demo, as plain functions.

Each function reads from top to bottom as the experiment goes: collect, train, rank, select,
retrain, roll out, compare. Everything it leaves is a named artifact in one folder, and calling it
again does only what is missing.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch

from outtakes import version
from outtakes.arms import (
    Arm,
    Job,
    evaluate_checkpoint,
    jobs_of,
    mean_of,
    run_all,
    run_folder,
    train_job,
)
from outtakes.data.demo import DemoSet, Outcome
from outtakes.data.lerobot import read_dataset, write_dataset
from outtakes.errors import ArtifactError, CheckpointError, ConfigError, DatasetError
from outtakes.evaluation.comparison import Comparison, compare
from outtakes.evaluation.rollouts import RolloutLog
from outtakes.evaluation.statistics import success_rate
from outtakes.files import read_json, write_json
from outtakes.recipes import Recipe, check_seeds
from outtakes.selection.score import combine, score_run
from outtakes.selection.scores import Scores
from outtakes.selection.select import Selection, select
from outtakes.sim.collect import CollectConfig, collect
from outtakes.sim.environment import make_environment
from outtakes.training.checkpoint import Checkpoint
from outtakes.training.monitor import open_monitor

Progress = Callable[[int, int, str], None]
"""Called with (done, total, what)."""
RANKING_SEEDS = 5
"""Training seeds the ranking averages over, as in the paper."""
_EPISODES_OF_ONE_PROCESS = 10
"""So few are collected sooner than processes start."""
BASELINE, RANKED, SELECTED = "act-s", "pb-kl-all", "pb-kl-low"
"""The arm everything is compared with, the arm whose attention ranks the failures, and the arm
retrained on the failures it ranks nearest."""


@dataclass(frozen=True)
class Lab:
    """Where an experiment runs and how it reports."""

    recipe: Recipe
    out: Path
    device: str = "cpu"
    workers: int | None = None
    """Processes; as many as there are cores when None."""
    progress: Progress | None = None

    def say(self, done: int, total: int, what: str) -> None:
        """Report progress, if anyone listens."""
        if self.progress:
            self.progress(done, total, what)

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add the seconds a stage took to `durations.json`."""
        started = time.monotonic()
        yield
        path = self.out / "durations.json"
        seconds = dict(read_json(path, "durations", 1)["seconds"]) if path.exists() else {}
        seconds[stage] = round(seconds.get(stage, 0.0) + time.monotonic() - started, 1)
        write_json(path, "durations", 1, {"seconds": seconds})


# --- stages ---------------------------------------------------------------------------------------


def collect_dataset(lab: Lab) -> Path:
    """Collect the recipe's demonstrations into `dataset/`, unless they are there."""
    root, recipe = lab.out / "dataset", lab.recipe
    if root.exists():
        return root
    with lab.timed("collect"):
        record(recipe.collect, root, workers=lab.workers, progress=lab.progress)
    return root


def record(
    config: CollectConfig,
    root: Path,
    *,
    workers: int | None = None,
    progress: Progress | None = None,
) -> None:
    """Collect demonstrations and write them as a LeRobot dataset."""

    def report(done: int, total: int, what: str) -> None:
        if progress:
            progress(done, total, what)

    if workers is None:
        few = config.successes + config.failures <= _EPISODES_OF_ONE_PROCESS
        workers = 1 if few else _cores()
    recordings = collect(config, workers=workers, progress=report)
    write_dataset(root, recordings, fps=make_environment(config.environment).fps)


def read_demos(lab: Lab, root: Path) -> DemoSet:
    """Read a dataset through the frame cache, at the recipe's image size."""
    return read_dataset(
        root,
        image_size=lab.recipe.image_size,
        progress=lambda done, total: lab.say(done, total, "decode"),
    )


def check_both_outcomes(demos: DemoSet) -> None:
    """Refuse a dataset with nothing to compare.

    Raises:
        DatasetError: when there is no success or no failure.
    """
    check_success(demos)
    _check_present(demos, Outcome.FAILURE, "rank")


def check_success(demos: DemoSet) -> None:
    """Refuse a dataset without a success, whose PB a policy could follow.

    Raises:
        DatasetError: when there is none.
    """
    _check_present(demos, Outcome.SUCCESS, "learn from")


def _check_present(demos: DemoSet, outcome: Outcome, needed_for: str) -> None:
    if not demos.episodes(outcome):
        episodes = f"{len(demos)} episode{'s' * (len(demos) > 1)}"
        raise DatasetError(
            f"no {outcome.value} to {needed_for} among {episodes}",
            where=demos.name,
            remedy="add some, or correct the labels in episode_labels.json",
        )


def check_lengths(demos: DemoSet, chunk: int) -> None:
    """Refuse episodes shorter than an action chunk.

    Raises:
        DatasetError: naming the shortest episode.
    """
    shortest = int(demos.lengths.argmin())
    length = int(demos.lengths[shortest])
    if length < chunk:
        raise DatasetError(
            f"{length} frames are fewer than an action chunk of {chunk}",
            where=f"{demos.name}, episode {demos.episode_indices[shortest]}",
            remedy=f"use --chunk {length} or less, or --short-episodes pad",
        )


def train_seeds(
    lab: Lab, demos: DemoSet, policy: str, episodes: Sequence[int], *, wandb: bool = False
) -> list[Path]:
    """Train one policy with every seed of the recipe, logging scalars to TensorBoard.

    Args:
        lab: the experiment.
        demos: the dataset.
        policy: "act" or "act-pb".
        episodes: episode indices to train on.
        wandb: also log to Weights & Biases.
    """
    arm = Arm(policy, policy, "pb" if policy == "act-pb" else "none", episodes)
    runs = []
    for job in jobs_of([arm], lab.recipe.seeds, demos, lab.recipe, lab.out, lab.device):
        with open_monitor(job.run, wandb=wandb) as log:

            def monitor(step: int, scalars: Mapping[str, float], job=job, log=log) -> None:
                log(step, scalars)
                loss = scalars["loss/action_l1"]
                what = f"train {job.arm.name} seed {job.seed}, L1 {loss:.3f}"
                lab.say(step, job.recipe.train.steps, what)

            train_job(job, monitor)
        runs.append(job.run)
    return runs


def evaluate_runs(lab: Lab, runs: Sequence[Path]) -> tuple[list[str], dict[str, object]]:
    """Roll trained runs out, write `rollouts.parquet` and, with several arms, a comparison.

    Returns:
        Lines for people, and the same for programs.

    Raises:
        CheckpointError: when a run does not fit the environment.
    """
    log = RolloutLog([])
    for done, run in enumerate(runs):
        lab.say(done, len(runs), f"evaluate {run}")
        checkpoint, arm = Checkpoint.load(run), run.absolute().parent.name
        check_fits(checkpoint, run, lab.recipe.collect.environment)
        steerings = {arm: lab.recipe.controller.neighbours}
        rollouts = evaluate_checkpoint(checkpoint, steerings, lab.recipe, lab.device)
        log = log.merged(RolloutLog(rollouts))
    log.save(lab.out / "rollouts.parquet")
    outcomes = log.outcomes()
    rates = {arm: success_rate(np.stack(list(by.values()))) for arm, by in outcomes.items()}
    lines = [
        f"{arm}: {100 * r.rate:.1f} % ({100 * r.low:.1f} to {100 * r.high:.1f}), {r.n_seeds} seeds"
        for arm, r in rates.items()
    ]
    content: dict[str, object] = {"rates": {arm: asdict(rate) for arm, rate in rates.items()}}
    if len(outcomes) > 1:
        baseline, *others = outcomes
        comparison = compare(outcomes, baseline=baseline, treatment=others[-1])
        comparison.save(lab.out / "comparison.json")
        lines.append(comparison.verdict)
        content["verdict"] = comparison.verdict
    return lines, content


def check_fits(checkpoint: Checkpoint, run: Path, environment: str) -> None:
    """Refuse a policy that expects other observations or actions than an environment has."""
    scene = make_environment(environment)
    scene.reset(scene.sample_initial_state(np.random.default_rng(0)))
    offered = tuple(len(vector) for vector in scene.observe().values())
    expected = (checkpoint.sizes.state, checkpoint.sizes.environment_state)
    missing = set(checkpoint.act.cameras) - set(scene.cameras)
    if expected != offered or missing:
        raise CheckpointError(
            f"the policy expects state and environment state of {expected} and cameras "
            f"{list(checkpoint.act.cameras)}; {environment} gives {offered} and "
            f"{list(scene.cameras)}",
            where=run,
            remedy="evaluate a run that was trained on this environment's data",
        )


def rank(lab: Lab, demos: DemoSet, runs: Sequence[Path], *, path: Path | None = None) -> Scores:
    """Score every failure by the given runs and write `scores.json`, or `path`."""
    scored = []
    for i, run in enumerate(runs):
        checkpoint = Checkpoint.load(run)
        lab.say(i, len(runs), f"rank with seed {checkpoint.seed}")
        scored.append(score_run(checkpoint, demos, device=lab.device))
    lab.say(len(runs), len(runs), "rank")
    scores = combine(scored, demos.name, demos.content_hash)
    scores.save(path or lab.out / "scores.json")
    return scores


def run_arms(lab: Lab, demos: DemoSet, arms: Sequence[Arm], seeds: Sequence[int]) -> RolloutLog:
    """Train and roll out every arm with every seed."""
    return run_jobs(lab, jobs_of(arms, seeds, demos, lab.recipe, lab.out, lab.device))


def run_jobs(lab: Lab, jobs: Sequence[Job]) -> RolloutLog:
    """Train and roll out these runs."""
    with lab.timed("train and roll out"):
        return run_all(jobs, workers=lab.workers, progress=lab.progress)


# --- arms -----------------------------------------------------------------------------------------


def experiment_1_arms(successes: Sequence[int], failures: Sequence[int]) -> list[Arm]:
    """Table 1 of the paper: ACT and the method, without and with all failures."""
    both = [*successes, *failures]
    n, m = len(successes), len(failures)
    return [
        Arm("act-s", f"ACT, {n} successes", "none", successes, paper="71.0 ± 3.4"),
        Arm("act-all", f"ACT, {n} successes + {m} failures", "none", both, paper="71.6 ± 5.2"),
        Arm("pb-s", f"PB, {n} successes", "pb", successes, paper="74.2 ± 3.6"),
        Arm(RANKED, f"PB + KL, {n} + {m} failures", "pb", both, paper="77.8 ± 2.6"),
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
    """The main job on Lift: do the selected failures help? Leaves every artifact in `lab.out`."""
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
    _write_lift_setup(lab, "which failures help on Lift", [*arms, *low, at_random[0].arm])
    return comparison


def _rank_by(lab: Lab, demos: DemoSet, seeds: Sequence[int]) -> Scores:
    with lab.timed("rank"):
        return rank(lab, demos, [run_folder(lab.out, RANKED, seed) for seed in seeds])


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
    _write_lift_setup(lab, "the paper's Experiment 2 on Lift", arms["experiment-2"])
    write_tables(lab, comparisons, arms)
    return comparisons


def few_successes(
    lab: Lab,
    demos: DemoSet,
    successes: Sequence[int],
    failures: Sequence[int],
    seeds: Sequence[int],
) -> tuple[list[Arm], RolloutLog]:
    """Experiment 1 with fewer successes beside the same failures."""
    suffix = f"-{len(successes)}"
    arms = [
        replace(arm, name=arm.name + suffix, paper="")
        for arm in experiment_1_arms(successes, failures)
    ]
    return arms, run_arms(lab, demos, arms, seeds)


# --- what is left behind --------------------------------------------------------------------------


def write_setup(
    lab: Lab,
    *,
    title: str,
    dataset: Path,
    labels: Mapping[str, str],
    paper: Mapping[str, str],
    retrained: str,
    next_commands: Sequence[str],
) -> None:
    """Write `setup.json`: what the report needs to know that no other artifact says.

    Args:
        lab: the experiment.
        title: what was done, for people.
        dataset: folder of the dataset, relative to `lab.out` when inside it.
        labels: arm -> name for people.
        paper: arm -> the paper's success rate, in %.
        retrained: the arm retrained on the selection; "" when there is none.
        next_commands: shell commands that would settle or extend the result.
    """
    content = {
        "title": title,
        "dataset": str(dataset),
        "labels": dict(labels),
        "paper": dict(paper),
        "retrained": retrained,
        "next_commands": list(next_commands),
        "recipe": _plain(asdict(lab.recipe)),
        "machine": machine(lab.device),
        "commit": version.commit(),
        "release": version.release(),
        "finished": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "seconds": read_json(lab.out / "durations.json", "durations", 1)["seconds"],
    }
    write_json(lab.out / "setup.json", "setup", 1, content)


def _write_lift_setup(lab: Lab, title: str, arms: Sequence[Arm]) -> None:
    write_setup(
        lab,
        title=title,
        dataset=Path("dataset"),
        labels={name: label for arm in arms for name, label in arm.labels.items()},
        paper={arm.name: arm.paper for arm in arms},
        retrained=SELECTED,
        next_commands=[
            f"outtakes study paper --recipe {lab.recipe.name} --out outtakes-study",
            "outtakes triage YOUR_DATASET --out outtakes-triage",
        ],
    )


def write_tables(
    lab: Lab, comparisons: Mapping[str, Comparison], arms: Mapping[str, Sequence[Arm]]
) -> None:
    """Write `tables.md`: every experiment, the paper's numbers beside ours."""
    text = "\n\n".join(table(name, comparisons[name], arms[name]) for name in comparisons)
    (lab.out / "tables.md").write_text(text + "\n", encoding="utf-8")


def table(title: str, comparison: Comparison, arms: Sequence[Arm]) -> str:
    """One experiment as a Markdown table, in percent and points."""
    lines = [
        f"### {title}",
        "",
        "| Arm | Success rate, % (95 % interval) | SD over seeds | Difference, points "
        "(95 % interval) | p (Holm) | Paper, % |",
        "|---|---|---|---|---|---|",
    ]
    labels = {name: label for arm in arms for name, label in arm.labels.items()}
    papers = {arm.name: arm.paper for arm in arms}
    for name, label in labels.items():
        rate = comparison.rates[name]
        spread = "" if rate.sd is None else f"{100 * rate.sd:.1f}"
        cells = [
            label,
            f"{100 * rate.rate:.1f} ({100 * rate.low:.1f} to {100 * rate.high:.1f})",
            f"{spread}, {rate.n_seeds} seeds",
            *_difference_cells(comparison, name),
            papers.get(name, ""),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", comparison.verdict])


def _difference_cells(comparison: Comparison, arm: str) -> tuple[str, str]:
    if arm == comparison.baseline:
        return "baseline", ""
    d = comparison.differences[arm]
    interval = f"({100 * d.low:+.1f} to {100 * d.high:+.1f})"
    return f"{100 * d.difference:+.1f} {interval}", f"{comparison.adjusted_p[arm]:.3f}"


def machine(device: str) -> str:
    """The machine in a few words."""
    cores = f"{_cores()} CPU cores, {platform.system()} {platform.machine()}"
    if device == "cpu":
        return cores
    return f"{torch.cuda.get_device_name(device)}, {cores}"


def load_selection(path: Path, demos: DemoSet) -> Selection:
    """Read a selection and check that it is of this dataset.

    Raises:
        ArtifactError: when it is of another dataset.
    """
    selection = Selection.load(path)
    if selection.content_hash != demos.content_hash:
        raise ArtifactError(
            f"the selection was made for other data ({selection.dataset})",
            where=path,
            remedy="select again from scores of this dataset",
        )
    return selection


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _plain(value: object) -> object:
    """JSON's view of a nested settings dictionary."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value

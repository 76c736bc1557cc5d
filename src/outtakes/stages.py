"""The stages of the pipeline, from artifacts to artifacts: collect, read, train, rank, roll out."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from outtakes.arms import (
    Arm,
    Job,
    evaluate_checkpoint,
    jobs_of,
    run_all,
    train_jobs,
)
from outtakes.data.demo import DemoSet, Outcome
from outtakes.data.lerobot import read_dataset, write_dataset
from outtakes.data.reading import Reading
from outtakes.errors import ArtifactError, CheckpointError, DatasetError, MachineError
from outtakes.evaluation.comparison import compare
from outtakes.evaluation.rollouts import RolloutLog
from outtakes.evaluation.statistics import success_rate
from outtakes.files import read_json, write_json
from outtakes.recipes import Recipe, adapt
from outtakes.selection.score import combine, score_run
from outtakes.selection.scores import Scores
from outtakes.selection.select import Selection
from outtakes.sim.collect import CollectConfig, collect
from outtakes.sim.environment import make_environment
from outtakes.training.checkpoint import Checkpoint
from outtakes.training.monitor import open_monitor
from outtakes.training.trainer import Monitor

Progress = Callable[[int, int, str], None]
"""Called with (done, total, what)."""
ShortEpisodes = Literal["shorten", "pad"]
"""For episodes shorter than a chunk: make the chunk shorter, or repeat their last action."""
_EPISODES_OF_ONE_PROCESS = 10
"""So few are collected sooner than processes start."""


@dataclass(frozen=True)
class Lab:
    """Where an experiment runs and how it reports."""

    recipe: Recipe
    out: Path
    device: str = "cpu"
    workers: int | None = None
    """Processes; as many as there are cores when None."""
    progress: Progress | None = None
    reading: Reading = field(default_factory=Reading)
    """How the dataset is read; the image size is the recipe's."""

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
        workers = 1 if few else cores()
    recordings = collect(config, workers=workers, progress=report)
    write_dataset(root, recordings, fps=make_environment(config.environment).fps)


def read_demos(lab: Lab, root: Path) -> DemoSet:
    """Read a dataset through the frame cache, at the recipe's image size."""
    return read_dataset(
        root,
        replace(lab.reading, image_size=lab.recipe.image_size),
        progress=lambda done, total: lab.say(done, total, "decode"),
    )


def fitted(lab: Lab, demos: DemoSet, *, chunk: int | None, short_episodes: ShortEpisodes) -> Lab:
    """The experiment with its recipe fitted to a dataset.

    Args:
        lab: the experiment.
        demos: the dataset.
        chunk: action steps predicted at once; chosen by itself when None.
        short_episodes: see `ShortEpisodes`.

    Raises:
        DatasetError: when an episode is too short for a chunk.
    """
    pad = short_episodes == "pad"
    look = lab.reading.cameras is not None
    recipe = adapt(lab.recipe, demos, look=look, chunk=chunk, pad=pad)
    if not pad:
        check_lengths(demos, recipe.act.chunk)
    return replace(lab, recipe=recipe)


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
            remedy="add some, or correct the labels in episode_labels.json with 'outtakes label'",
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
    jobs = jobs_of([arm], lab.recipe.seeds, demos, lab.recipe, lab.out, lab.device)
    with ExitStack() as monitors:
        logs = {
            job.seed: _announced(
                lab, job, monitors.enter_context(open_monitor(job.run, wandb=wandb))
            )
            for job in jobs
        }
        train_jobs(jobs, logs)
    return [job.run for job in jobs]


def _announced(lab: Lab, job: Job, log: Monitor) -> Monitor:
    """A monitor that also reports progress."""

    def monitor(step: int, scalars: Mapping[str, float]) -> None:
        log(step, scalars)
        what = f"train {job.arm.name} seed {job.seed}, L1 {scalars['loss/action_l1']:.3f}"
        lab.say(step, job.recipe.train.steps, what)

    return monitor


def evaluate_runs(lab: Lab, runs: Sequence[Path]) -> tuple[list[str], dict[str, object]]:
    """Roll trained runs out, write `rollouts.parquet` and, with several arms, a comparison.

    Returns:
        Lines for people, and the same for programs.

    Raises:
        CheckpointError: when a run does not fit the environment.
    """
    named = [(run.absolute().parent.name, run) for run in runs]
    loaded = ((arm, Checkpoint.load(run), run) for arm, run in named)
    log = roll_out_runs(loaded, lab.recipe, lab.device, progress=lab.progress, total=len(runs))
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


def roll_out_runs(
    runs: Iterable[tuple[str, Checkpoint, Path]],
    recipe: Recipe,
    device: str,
    *,
    progress: Progress | None = None,
    total: int,
) -> RolloutLog:
    """Roll trained runs out, all from the recipe's initial states.

    Args:
        runs: arm, checkpoint and where it is from, for messages; taken one at a time.
        recipe: settings of the rollouts and of the environment.
        device: "cpu" or "cuda".
        progress: told before every run.
        total: how many runs there are.

    Raises:
        CheckpointError: when a run does not fit the environment.
    """
    log = RolloutLog([])
    for done, (arm, checkpoint, where) in enumerate(runs):
        if progress:
            progress(done, total, f"evaluate {where}")
        check_fits(checkpoint, where, recipe.collect.environment)
        steerings = {arm: recipe.controller.neighbours}
        log = log.merged(RolloutLog(evaluate_checkpoint(checkpoint, steerings, recipe, device)))
    return log


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


def rank(
    lab: Lab,
    demos: DemoSet,
    runs: Sequence[Path],
    *,
    path: Path | None = None,
    pairs: int | None = None,
) -> Scores:
    """Score every failure by the given runs and write `scores.json`, or `path`.

    Args:
        lab: the experiment.
        demos: the dataset the runs were trained on.
        runs: run folders, one a seed.
        path: the file to write, when it is not `scores.json` in the experiment's folder.
        pairs: (time step, success) pairs to sample for each failure; every pair when None.
    """
    scores = score(
        map(Checkpoint.load, runs), demos, device=lab.device, pairs=pairs, progress=lab.progress
    )
    scores.save(path or lab.out / "scores.json")
    return scores


def score(
    checkpoints: Iterable[Checkpoint],
    demos: DemoSet,
    *,
    device: str = "cpu",
    pairs: int | None = None,
    progress: Progress | None = None,
) -> Scores:
    """Score every failure by these runs, one a seed, taken one at a time; see `rank`."""
    scored = []
    for done, checkpoint in enumerate(checkpoints):
        if progress:
            progress(done, done + 1, f"rank with seed {checkpoint.seed}")
        scored.append(score_run(checkpoint, demos, device=device, pairs=pairs))
    if progress:
        progress(len(scored), len(scored), "rank")
    return combine(scored, demos.name, demos.content_hash)


def run_arms(lab: Lab, demos: DemoSet, arms: Sequence[Arm], seeds: Sequence[int]) -> RolloutLog:
    """Train and roll out every arm with every seed."""
    return run_jobs(lab, jobs_of(arms, seeds, demos, lab.recipe, lab.out, lab.device))


def run_jobs(lab: Lab, jobs: Sequence[Job]) -> RolloutLog:
    """Train and roll out these runs."""
    with lab.timed("train and roll out"):
        return run_all(jobs, workers=lab.workers, progress=lab.progress)


def load_selection(path: Path, demos: DemoSet) -> Selection:
    """Read a selection and check that it is of this dataset.

    Raises:
        ArtifactError: when it is of another dataset.
    """
    selection = Selection.load(path)
    check_made_for(demos, selection, path)
    return selection


def load_scores(path: Path, demos: DemoSet) -> Scores:
    """Read scores and check that they are of this dataset.

    Raises:
        ArtifactError: when they are of another dataset.
    """
    scores = Scores.load(path)
    check_made_for(demos, scores, path)
    return scores


def check_made_for(demos: DemoSet, made: Selection | Scores, where: Path | None = None) -> None:
    """Refuse a selection or ranking of another dataset, or of this one read in another way.

    Raises:
        ArtifactError: when it is.
    """
    what = "selection" if isinstance(made, Selection) else "ranking"
    if made.content_hash != demos.content_hash:
        raise ArtifactError(
            f"the {what} was made for other data ({made.dataset})",
            where=where,
            remedy="select again from scores of this dataset, or give the labels and flags it was "
            "ranked with, --recipe included",
        )


def named_device(name: str) -> str:
    """ "cpu" or "cuda", of "auto", "cpu" or "cuda".

    Raises:
        MachineError: when a GPU is asked for and there is none.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise MachineError("no CUDA device here", remedy="use --device cpu")
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return name


def cores() -> int:
    """CPU cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

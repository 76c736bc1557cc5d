"""Arms of an experiment: what is trained on which demonstrations, and running them.

Every arm goes through the same trainer and the same rollouts; arms differ in data and settings
alone. A finished run is never done twice, and one that was stopped goes on where it was.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from outtakes.data.demo import DemoSet
from outtakes.errors import ArtifactError
from outtakes.evaluation.rollout import roll_out
from outtakes.evaluation.rollouts import Rollout, RolloutLog
from outtakes.files import read_json, write_json
from outtakes.policy.act import Condition
from outtakes.recipes import Recipe
from outtakes.sim.environment import make_environment
from outtakes.training.checkpoint import FILE, Checkpoint
from outtakes.training.learner import can_stack
from outtakes.training.trainer import Monitor, train_together

PARALLEL_ENVIRONMENTS = 25
"""Environments stepped together in one process; outcomes do not depend on it."""
SEEDS_TOGETHER = 5
"""Seeds of one arm trained as one program, where they can be; more gain little."""
_STEPS_WORTH_PROCESSES = 1_000
"""Optimiser steps left to take above which it pays to start processes: each first spends some 6 s
importing torch and the simulator."""

Progress = Callable[[int, int, str], None]
"""Called with (runs done, runs in all, what was done last)."""


@dataclass(frozen=True)
class Arm:
    """What is trained on which demonstrations."""

    name: str
    """Folder name and key, for example "pb-kl-low"."""
    label: str
    """For people, for example "PB + KL, 10 nearest failures"."""
    condition: Condition
    episodes: Sequence[int]
    """Episode indices to train on."""
    kl: bool = True
    """Whether the KL term may act."""
    balanced: bool = False
    """Draw successes and failures equally often."""
    paper: str = ""
    """The paper's success rate for the same cell, in %."""

    @property
    def steerings(self) -> Mapping[str, int]:
        """Name in the rollout log -> successes whose PBs are averaged at run time.

        A policy with PB is rolled out twice: steered by the PB of the nearest success, as in the
        paper, and by the mean PB of all successes.
        """
        if self.condition != "pb":
            return {self.name: 1}
        return {self.name: 1, mean_of(self.name): 0}

    @property
    def labels(self) -> Mapping[str, str]:
        """Name in the rollout log -> name for people."""
        if self.condition != "pb":
            return {self.name: self.label}
        return {
            self.name: f"{self.label}, nearest PB",
            mean_of(self.name): f"{self.label}, mean PB",
        }


def mean_of(arm: str) -> str:
    """Name of an arm's rollouts under the mean PB of all successes."""
    return f"{arm}-mean"


@dataclass(frozen=True)
class Job:
    """One training run of one arm, with its rollouts."""

    arm: Arm
    seed: int
    demos: DemoSet
    recipe: Recipe
    out: Path
    device: str
    roll_out: bool = True

    @property
    def run(self) -> Path:
        """Folder of this run."""
        return run_folder(self.out, self.arm.name, self.seed)


def run_folder(out: Path, arm: str, seed: int) -> Path:
    """Where a run of an arm lives."""
    return out / "runs" / arm / f"seed-{seed}"


def train_jobs(
    jobs: Sequence[Job], monitors: Mapping[int, Monitor] | None = None
) -> list[Checkpoint]:
    """Train the runs of one arm, or load what is done of them; together where that is faster.

    Args:
        jobs: the same arm, demonstrations and recipe in all, a seed each.
        monitors: seed -> what is told the scalars of its run.

    Raises:
        CheckpointError: when a folder holds a run of other data or settings.
    """
    arm, recipe = jobs[0].arm, jobs[0].recipe
    return train_together(
        jobs[0].demos.subset(arm.episodes),
        {job.seed: job.run for job in jobs},
        act=replace(recipe.act, condition=arm.condition),
        loss=recipe.loss if arm.kl else replace(recipe.loss, kl_weight=0.0),
        config=replace(recipe.train, balanced=arm.balanced),
        device=jobs[0].device,
        monitors=monitors,
    )


def evaluate_checkpoint(
    checkpoint: Checkpoint, steerings: Mapping[str, int], recipe: Recipe, device: str
) -> list[Rollout]:
    """Roll one trained policy out from the recipe's initial states.

    Args:
        checkpoint: the policy.
        steerings: arm name for the log -> `ControllerConfig.neighbours`.
        recipe: environment, initial states and controller.
        device: where to compute actions.
    """
    name = recipe.collect.environment
    environments = [
        make_environment(name, horizon=recipe.horizon) for _ in range(PARALLEL_ENVIRONMENTS)
    ]
    states = recipe.states.first(environments[0], recipe.rollouts)
    agent = checkpoint.agent(device)
    return [
        rollout
        for arm, neighbours in steerings.items()
        for rollout in roll_out(
            agent,
            environments,
            states,
            arm=arm,
            seed=checkpoint.seed,
            config=replace(recipe.controller, neighbours=neighbours),
            image_size=recipe.image_size,
            drawn_from=str(recipe.states),
        )
    ]


def run_together(jobs: Sequence[Job]) -> list[list[Rollout]]:
    """Train and evaluate the runs of one arm, doing nothing twice; the rollouts of each."""
    checkpoints = train_jobs(jobs)
    return [_roll_out(job, done) for job, done in zip(jobs, checkpoints, strict=True)]


def _roll_out(job: Job, checkpoint: Checkpoint) -> list[Rollout]:
    if not job.roll_out:
        return []
    finished = _finished_rollouts(job)
    if finished is not None:
        return finished
    rollouts = evaluate_checkpoint(checkpoint, job.arm.steerings, job.recipe, job.device)
    RolloutLog(rollouts).save(job.run / "rollouts.parquet")
    write_json(job.run / "evaluation.json", "evaluation", 1, _evaluation_settings(job))
    return rollouts


def _evaluation_settings(job: Job) -> dict[str, object]:
    recipe = job.recipe
    return {
        "steerings": dict(job.arm.steerings),
        "environment": recipe.collect.environment,
        "rollouts": recipe.rollouts,
        "drawn_from": str(recipe.states),
        "horizon": recipe.horizon,
        "controller": asdict(recipe.controller),
    }


def _finished_rollouts(job: Job) -> list[Rollout] | None:
    """The rollouts of a run that was evaluated with these very settings after its training."""
    path = job.run / "evaluation.json"
    if not path.exists() or path.stat().st_mtime < (job.run / FILE).stat().st_mtime:
        return None
    settings = read_json(path, "evaluation", 1)
    if any(settings.get(name) != value for name, value in _evaluation_settings(job).items()):
        return None
    return list(RolloutLog.load(job.run / "rollouts.parquet").rollouts)


def run_all(
    jobs: Sequence[Job], *, workers: int | None = None, progress: Progress | None = None
) -> RolloutLog:
    """Run every job, several at a time, and collect the rollouts.

    On the CPU each run has one core to itself; on a GPU runs go one after another.

    Args:
        jobs: what to run.
        workers: processes; when None as many as there are cores, or one for what is soon done.
        progress: told at the start and after every run.
    """
    if not jobs:
        raise ArtifactError("no arm to run", remedy="choose at least one arm and one seed")
    if progress:
        progress(0, len(jobs), "train and roll out" if jobs[0].roll_out else "train")
    if workers is None:
        workers = _worthwhile_workers(jobs)
    rollouts: dict[tuple[str, int], list[Rollout]] = {}
    for done, (job, result) in enumerate(_results(_stacks(jobs, workers), workers), start=1):
        rollouts[job.arm.name, job.seed] = result
        if progress:
            progress(done, len(jobs), _describe(job, result))
    return RolloutLog([r for job in jobs for r in rollouts[job.arm.name, job.seed]])


def _worthwhile_workers(jobs: Sequence[Job]) -> int:
    if jobs[0].device != "cpu":
        return 1
    unfinished = [job for job in jobs if not _is_finished(job)]
    if sum(job.recipe.train.steps for job in unfinished) < _STEPS_WORTH_PROCESSES:
        return 1
    return min(os.cpu_count() or 1, len(unfinished))


def _is_finished(job: Job) -> bool:
    """Whether running the job would only read what it left before."""
    if not (job.run / FILE).exists():
        return False
    if job.roll_out:
        return _finished_rollouts(job) is not None
    return Checkpoint.load(job.run).step >= job.recipe.train.steps


def _stacks(jobs: Sequence[Job], workers: int) -> list[list[Job]]:
    """The jobs in groups that train as one program: seeds of one arm, first seeds first.

    There are at least as many groups as workers, as far as there are jobs.
    """
    size = min(SEEDS_TOGETHER, -(-len(jobs) // workers)) if can_stack(jobs[0].recipe.act) else 1
    # Arms of one name may differ in their episodes from seed to seed, as random choices do.
    alike: dict[tuple[object, ...], list[Job]] = {}
    for job in jobs:
        alike.setdefault((job.arm.name, tuple(job.arm.episodes), job.out), []).append(job)
    stacks = [own[i : i + size] for own in alike.values() for i in range(0, len(own), size)]
    place = {job.run: i for i, job in enumerate(jobs)}
    return sorted(stacks, key=lambda stack: place[stack[0].run])


def _results(stacks: Sequence[Sequence[Job]], workers: int) -> Iterator[tuple[Job, list[Rollout]]]:
    if workers == 1:
        with _one_core() if stacks[0][0].device == "cpu" else nullcontext():
            for jobs in stacks:
                yield from zip(jobs, run_together(jobs), strict=True)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=_use_one_core) as pool:
        futures = {pool.submit(run_together, jobs): jobs for jobs in stacks}
        try:
            for future in as_completed(futures):
                yield from zip(futures[future], future.result(), strict=True)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _use_one_core() -> None:
    torch.set_num_threads(1)


@contextmanager
def _one_core() -> Iterator[None]:
    """As in a worker, so that a run ends bitwise the same in either place."""
    before = torch.get_num_threads()
    _use_one_core()
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _describe(job: Job, rollouts: Sequence[Rollout]) -> str:
    if not rollouts:
        return f"train {job.arm.name} seed {job.seed}"
    counts = {arm: [r.success for r in rollouts if r.arm == arm] for arm in job.arm.steerings}
    rates = ", ".join(f"{arm} {sum(won) / len(won):.0%}" for arm, won in counts.items())
    return f"train and roll out, seed {job.seed}: {rates}"


def jobs_of(
    arms: Sequence[Arm],
    seeds: Sequence[int],
    demos: DemoSet,
    recipe: Recipe,
    out: Path,
    device: str,
) -> list[Job]:
    """Every arm with every seed; seeds outermost, so that unfinished tables are balanced."""
    seen = {camera: demos.images[camera] for camera in recipe.act.cameras if camera in demos.images}
    demos = replace(demos, images=seen)
    return [Job(arm, seed, demos, recipe, out, device) for seed in seeds for arm in arms]

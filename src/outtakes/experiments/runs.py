"""Training runs as jobs that refer to their data: done once, resumed, and found again on disk.

Every arm goes through the same trainer and the same rollouts; arms differ in data and settings
alone. A finished run is never done twice, and one that was stopped goes on where it was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from outtakes.data.ref import DatasetRef
from outtakes.evaluation.evaluate import Evaluation, evaluate
from outtakes.evaluation.prediction import HeldOutErrors, held_out_errors
from outtakes.evaluation.rollouts import Rollout, RolloutLog
from outtakes.experiments.arm import Arm
from outtakes.files import read_json, write_json
from outtakes.policy.checkpoint import FILE, Checkpoint
from outtakes.policy.eyes.looking import look
from outtakes.training.trainer import Monitor, train_together

ROLLOUTS = "rollouts.parquet"


@dataclass(frozen=True)
class Job:
    """One training run of one arm, with its rollouts: who, on what, where; no data."""

    arm: Arm
    seed: int
    dataset: DatasetRef
    out: Path
    """The experiment's folder."""
    device: str
    evaluation: Evaluation | None = None
    """How to roll it out; None to train alone."""
    stops: tuple[int, ...] = ()
    """Steps, ascending, at which it is rolled out on its way, its last among them, each under a
    name of its own (`stop_name`); only when trained, under the arm's, when empty. The learning
    rate must be constant, so that each stop is what a training of that length would be."""
    held_out: tuple[int, ...] = ()
    """Successes that it is not trained on, whose action error is measured whenever it is rolled
    out, or would be."""

    @property
    def run(self) -> Path:
        """Folder of this run."""
        return run_folder(self.out, self.arm.name, self.seed)

    @property
    def stages(self) -> tuple[Stage, ...]:
        """What it is rolled out as, in order."""
        if not self.stops:
            return (Stage(self.arm, self.arm.name, self.run, ""),)
        return tuple(
            Stage(
                replace(self.arm, training=replace(self.arm.training, steps=steps)),
                stop_name(self.arm.name, steps),
                self.run,
                f"-{steps}",
            )
            for steps in self.stops
        )


@dataclass(frozen=True)
class Stage:
    """A moment of a run at which it is measured."""

    arm: Arm
    """Trained until then."""
    name: str
    """The arm's name in the log of rollouts."""
    run: Path
    suffix: str
    """Of the names of what is left of it."""

    @property
    def rollouts(self) -> Path:
        """Its rollouts."""
        return self.run / f"rollouts{self.suffix}.parquet"

    @property
    def evaluation(self) -> Path:
        """Their settings, written after them."""
        return self.run / f"evaluation{self.suffix}.json"

    @property
    def held_out(self) -> Path:
        """Its action errors on demonstrations that were held out."""
        return self.run / f"held-out{self.suffix}.json"


def stop_name(arm: str, steps: int) -> str:
    """An arm's name in the log of rollouts when it was trained for only so many steps."""
    return f"{arm}@{steps}"


def run_folder(out: Path, arm: str, seed: int) -> Path:
    """Where a run of an arm lives."""
    return out / "runs" / arm / f"seed-{seed}"


def do(jobs: Sequence[Job]) -> None:
    """Train and roll out the runs of one arm, doing nothing twice; what they leave is on disk."""
    for stages in zip(*(job.stages for job in jobs), strict=True):
        # What is done is not trained again: the run may be farther by now.
        if jobs[0].stops and all(map(_is_measured, jobs, stages)):
            continue
        now = [replace(job, arm=stage.arm) for job, stage in zip(jobs, stages, strict=True)]
        for job, stage, checkpoint in zip(jobs, stages, train(now), strict=True):
            if job.evaluation is not None and not _is_rolled_out(job, stage):
                _roll_out(job, stage, job.evaluation, checkpoint)
            if job.held_out and not _is_predicted(job, stage):
                _predict(job, stage, checkpoint)


def train(jobs: Sequence[Job], monitors: Mapping[int, Monitor] | None = None) -> list[Checkpoint]:
    """Train the runs of one arm, or load what is done of them; together where that is faster.

    Args:
        jobs: the same arm and dataset in all, a seed each.
        monitors: seed -> what is told the scalars of its run.

    Raises:
        CheckpointError: when a folder holds a run of other data or settings.
    """
    arm = jobs[0].arm
    return train_together(
        jobs[0].dataset.open(arm.policy.views).subset(arm.episodes),
        {job.seed: job.run for job in jobs},
        policy=arm.policy,
        config=arm.training,
        device=jobs[0].device,
        monitors=monitors,
        start=_bases(jobs, arm.base),
    )


def _bases(jobs: Sequence[Job], base: Arm | None) -> dict[int, Checkpoint] | None:
    """Seed -> the run that each starts from, trained where that was not done."""
    if base is None:
        return None
    runs = train([replace(job, arm=base, evaluation=None, stops=()) for job in jobs])
    return {run.seed: run for run in runs}


def is_done(job: Job) -> bool:
    """Whether doing the job would only read what it left before."""
    if not (job.run / FILE).exists():
        return False
    if job.evaluation is not None or job.held_out:
        return all(_is_measured(job, stage) for stage in job.stages)
    return Checkpoint.load(job.run).step >= job.arm.training.steps


def rollouts_of(job: Job) -> list[Rollout]:
    """What a job that was done left; empty when it was not rolled out."""
    if job.evaluation is None:
        return []
    return [r for stage in job.stages for r in RolloutLog.load(stage.rollouts).rollouts]


def errors_of(job: Job) -> dict[str, HeldOutErrors]:
    """Stage -> action errors on what a job that was done held out; empty when it held nothing."""
    if not job.held_out:
        return {}
    return {stage.name: HeldOutErrors.load(stage.held_out) for stage in job.stages}


def _roll_out(job: Job, stage: Stage, evaluation: Evaluation, checkpoint: Checkpoint) -> None:
    rollouts = evaluate(
        checkpoint, evaluation, arm=stage.name, steerings=job.arm.steerings, device=job.device
    )
    RolloutLog(rollouts).save(stage.rollouts)
    # Written last: it says that the rollouts are whole.
    write_json(stage.evaluation, "evaluation", 2, evaluation_settings(job, evaluation))


def _predict(job: Job, stage: Stage, checkpoint: Checkpoint) -> None:
    demos = job.dataset.open(job.arm.policy.views)
    if eyes := job.arm.policy.eyes:
        demos = look(demos, eyes, device=job.device)
    errors = held_out_errors(checkpoint, demos, job.held_out, job.arm.steerings, device=job.device)
    errors.save(stage.held_out)


def evaluation_settings(job: Job, evaluation: Evaluation) -> dict[str, object]:
    """What `evaluation.json` says of a job: all that decides its rollouts."""
    return {"steerings": list(job.arm.steerings), **evaluation.as_json()}


def _is_measured(job: Job, stage: Stage) -> bool:
    rolled_out = job.evaluation is None or _is_rolled_out(job, stage)
    return rolled_out and (not job.held_out or _is_predicted(job, stage))


def _is_rolled_out(job: Job, stage: Stage) -> bool:
    """Whether the run was evaluated with these very settings after its training."""
    if job.evaluation is None or not _is_of_this_training(job, stage.evaluation):
        return False
    found = read_json(stage.evaluation, "evaluation", (1, 2))
    return all(
        found.get(n) == value for n, value in evaluation_settings(job, job.evaluation).items()
    )


def _is_predicted(job: Job, stage: Stage) -> bool:
    """Whether these episodes' actions were predicted after the run's training."""
    if not _is_of_this_training(job, stage.held_out):
        return False
    found = HeldOutErrors.load(stage.held_out)
    return found.episodes == job.held_out and set(found.by_steering) == set(job.arm.steerings)


def _is_of_this_training(job: Job, path: Path) -> bool:
    # A run goes on after a stop, so its checkpoint is younger than what was measured there.
    return path.exists() and (
        bool(job.stops) or path.stat().st_mtime >= (job.run / FILE).stat().st_mtime
    )

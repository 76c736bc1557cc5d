"""Training runs as jobs that refer to their data: done once, resumed, and found again on disk.

Every arm goes through the same trainer and the same rollouts; arms differ in data and settings
alone. A finished run is never done twice, and one that was stopped goes on where it was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from outtakes.data.ref import DatasetRef
from outtakes.evaluation.evaluate import Evaluation, evaluate
from outtakes.evaluation.rollouts import Rollout, RolloutLog
from outtakes.experiments.arm import Arm
from outtakes.files import read_json, write_json
from outtakes.policy.checkpoint import FILE, Checkpoint
from outtakes.training.trainer import Monitor, train_together

ROLLOUTS = "rollouts.parquet"
_EVALUATION = "evaluation.json"


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

    @property
    def run(self) -> Path:
        """Folder of this run."""
        return run_folder(self.out, self.arm.name, self.seed)


def run_folder(out: Path, arm: str, seed: int) -> Path:
    """Where a run of an arm lives."""
    return out / "runs" / arm / f"seed-{seed}"


def do(jobs: Sequence[Job]) -> None:
    """Train and roll out the runs of one arm, doing nothing twice; what they leave is on disk."""
    for job, checkpoint in zip(jobs, train(jobs), strict=True):
        if job.evaluation is not None and not _is_rolled_out(job):
            _roll_out(job, job.evaluation, checkpoint)


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
        jobs[0].dataset.open(arm.policy.cameras).subset(arm.episodes),
        {job.seed: job.run for job in jobs},
        policy=arm.policy,
        config=arm.training,
        device=jobs[0].device,
        monitors=monitors,
    )


def is_done(job: Job) -> bool:
    """Whether doing the job would only read what it left before."""
    if not (job.run / FILE).exists():
        return False
    if job.evaluation is not None:
        return _is_rolled_out(job)
    return Checkpoint.load(job.run).step >= job.arm.training.steps


def rollouts_of(job: Job) -> list[Rollout]:
    """What a job that was done left; empty when it only trained."""
    if job.evaluation is None:
        return []
    return list(RolloutLog.load(job.run / ROLLOUTS).rollouts)


def _roll_out(job: Job, evaluation: Evaluation, checkpoint: Checkpoint) -> None:
    steerings = job.arm.steerings
    rollouts = evaluate(
        checkpoint, evaluation, arm=job.arm.name, steerings=steerings, device=job.device
    )
    RolloutLog(rollouts).save(job.run / ROLLOUTS)
    # Written last: it says that the rollouts are whole.
    write_json(job.run / _EVALUATION, "evaluation", 2, evaluation_settings(job, evaluation))


def evaluation_settings(job: Job, evaluation: Evaluation) -> dict[str, object]:
    """What `evaluation.json` says of a job: all that decides its rollouts."""
    return {"steerings": list(job.arm.steerings), **evaluation.as_json()}


def _is_rolled_out(job: Job) -> bool:
    """Whether the run was evaluated with these very settings after its training."""
    path = job.run / _EVALUATION
    if job.evaluation is None or not path.exists():
        return False
    if path.stat().st_mtime < (job.run / FILE).stat().st_mtime:
        return False
    found = read_json(path, "evaluation", (1, 2))
    return all(
        found.get(n) == value for n, value in evaluation_settings(job, job.evaluation).items()
    )

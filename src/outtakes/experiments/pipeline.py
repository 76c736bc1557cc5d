"""Training and rolling out: jobs of arms, single policies, and run folders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from outtakes.data.demo import DemoSet
from outtakes.data.ref import keep
from outtakes.errors import UnknownName
from outtakes.evaluation.evaluate import Evaluation
from outtakes.evaluation.rollouts import RolloutLog
from outtakes.experiments.arm import Arm, policy_arm
from outtakes.experiments.datasets import check_success
from outtakes.experiments.executor import executor_for, run_all
from outtakes.experiments.lab import Lab
from outtakes.experiments.recipes import Recipe
from outtakes.experiments.runs import Job, train
from outtakes.policy.eyes.looking import look
from outtakes.policy.kinds import kinds
from outtakes.selection.select import Selection
from outtakes.training.monitor import open_monitor
from outtakes.training.trainer import Monitor


def jobs_of(
    lab: Lab,
    arms: Sequence[Arm],
    seeds: Sequence[int],
    demos: DemoSet,
    evaluation: Evaluation | None = None,
) -> list[Job]:
    """Every arm with every seed; seeds outermost, so that unfinished tables are balanced."""
    ref = keep(demos, replace(lab.reading, image_size=lab.recipe.image_size))
    # Once, before several processes would each.
    for eyes in {arm.policy.eyes for arm in arms if arm.policy.eyes is not None}:
        look(demos.cached_in(ref.cache), eyes, device=lab.device, progress=lab.progress)
    return [Job(arm, seed, ref, lab.out, lab.device, evaluation) for seed in seeds for arm in arms]


def run_jobs(lab: Lab, jobs: Sequence[Job], stage: str = "train and roll out") -> RolloutLog:
    """Do these jobs, several at a time where that pays; the rollouts of all."""
    with lab.timed(stage):
        executor = executor_for(jobs, lab.workers)
        return run_all(jobs, executor=executor, progress=lab.progress)


POLICIES = ("act", "act-pb")
"""Names of what `train_policy` trains."""


def train_policy(
    lab: Lab,
    demos: DemoSet,
    policy: str,
    *,
    selection: Selection | None = None,
    wandb: bool = False,
) -> list[Path]:
    """Train a policy with every seed of the recipe, logging scalars to TensorBoard.

    Args:
        lab: the experiment, fitted to the dataset.
        demos: the dataset.
        policy: "act", "act-pb", or the kind of a family that another package brings, with its
            own settings.
        selection: what to train on; everything when None.
        wandb: also log to Weights & Biases.

    Returns:
        The run folders, one a seed.

    Raises:
        CheckpointError: when a folder holds a run of other data or settings.
        DatasetError: when there is no success to be steered by.
        UnknownName: when there is no such policy.
    """
    arm = _arm(lab.recipe, demos, policy, selection)
    demos_of_arm = demos.subset(arm.episodes).successes
    arm.policy.check_outcomes(int(demos_of_arm.sum()), int((~demos_of_arm).sum()))
    if arm.base:
        train_policy(lab, demos, arm.base.name, selection=selection, wandb=wandb)
    jobs = jobs_of(lab, [arm], lab.recipe.seeds, demos)
    with ExitStack() as monitors:
        logs = {
            job.seed: _announced(
                lab, job, monitors.enter_context(open_monitor(job.run, wandb=wandb))
            )
            for job in jobs
        }
        train(jobs, logs)
    return [job.run for job in jobs]


def check_policy(policy: str) -> None:
    """Refuse a name that `train_policy` does not know.

    Raises:
        UnknownName: naming those it knows.
    """
    known = (*POLICIES, *(kind for kind in kinds() if kind not in POLICIES))
    if policy not in known:
        raise UnknownName("policy", policy, known)


def _arm(recipe: Recipe, demos: DemoSet, policy: str, selection: Selection | None) -> Arm:
    kept = demos.episode_indices.tolist() if selection is None else selection.kept
    check_policy(policy)
    if policy == "act-pb":
        check_success(demos)
    arm = policy_arm(recipe, policy, policy, policy, kept)
    # What it starts from lies where training that alone would put it.
    base = arm.base
    return arm if base is None else replace(arm, base=replace(base, name=base.policy.kind))


def _announced(lab: Lab, job: Job, log: Monitor) -> Monitor:
    """A monitor that also reports progress."""

    def monitor(step: int, scalars: Mapping[str, float]) -> None:
        log(step, scalars)
        what = f"train {job.arm.name} seed {job.seed}, loss {scalars['loss/total']:.3f}"
        lab.say(step, job.arm.training.steps, what)

    return monitor

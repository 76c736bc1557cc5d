"""Training and rolling out: jobs of arms, single policies, and run folders."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np

from outtakes.data.demo import DemoSet
from outtakes.data.ref import keep
from outtakes.errors import CheckpointError, UnknownName
from outtakes.evaluation.evaluate import Evaluation, evaluate
from outtakes.evaluation.rolling_out import Decide
from outtakes.evaluation.rollouts import Rollout, RolloutLog
from outtakes.experiments.arm import Arm, policy_arm
from outtakes.experiments.datasets import check_success
from outtakes.experiments.executor import executor_for, run_all
from outtakes.experiments.lab import Lab
from outtakes.experiments.recipes import Recipe
from outtakes.experiments.runs import Job, train
from outtakes.monitoring.signal_log import SignalLog
from outtakes.policy.checkpoint import Checkpoint
from outtakes.policy.eyes.looking import look
from outtakes.policy.kinds import kinds
from outtakes.progress import Progress
from outtakes.selection.select import Selection
from outtakes.sim.environment import make_environment
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
        train_policy(lab, demos, arm.base, selection=selection, wandb=wandb)
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
    return policy_arm(recipe, policy, policy, policy, kept)


def _announced(lab: Lab, job: Job, log: Monitor) -> Monitor:
    """A monitor that also reports progress."""

    def monitor(step: int, scalars: Mapping[str, float]) -> None:
        log(step, scalars)
        what = f"train {job.arm.name} seed {job.seed}, loss {scalars['loss/total']:.3f}"
        lab.say(step, job.arm.training.steps, what)

    return monitor


def roll_out_runs(
    runs: Iterable[tuple[str, Checkpoint, Path]],
    evaluation: Evaluation,
    device: str,
    *,
    progress: Progress | None = None,
    total: int,
    signals: SignalLog | None = None,
) -> RolloutLog:
    """Roll trained runs out, all from the same initial states.

    Args:
        runs: arm, checkpoint and where it is from, for messages; taken one at a time.
        evaluation: task, initial states and controller. Its steering is for the policies that
            know it; others are steered by their default.
        device: "cpu" or "cuda".
        progress: told before every run.
        total: how many runs there are.
        signals: where to record what they say at every query.

    Raises:
        CheckpointError: when a run does not fit the environment.
        UnknownName: when a run that can be steered cannot be so.
    """
    rollouts: list[Rollout] = []
    for done, (arm, checkpoint, where) in enumerate(runs):
        if progress:
            progress(done, total, f"evaluate {where}")
        check_fits(checkpoint, where, evaluation.task)
        steering = checkpoint.config.steering(evaluation.controller.steering)
        watched = None if signals is None else _watched(signals, arm, checkpoint.seed)
        rollouts += evaluate(
            checkpoint,
            evaluation,
            arm=arm,
            steerings=[steering],
            device=device,
            watched_by=watched,
        )
    return RolloutLog(rollouts)


def _watched(signals: SignalLog, arm: str, seed: int) -> Callable[[str], Decide]:
    return lambda steering: signals.watch(arm, steering, seed)


def check_fits(checkpoint: Checkpoint, run: Path, environment: str) -> None:
    """Refuse a policy that expects other observations or actions than an environment has."""
    scene = make_environment(environment)
    scene.reset(scene.sample_initial_state(np.random.default_rng(0)))
    offered = tuple(len(vector) for vector in scene.observe().values())
    config, sizes = checkpoint.config, checkpoint.sizes
    # What stands in place of object poses is made from pictures.
    expected = (sizes.state, 0 if config.eyes else sizes.environment_state)
    missing = set(config.views) - set(scene.cameras)
    if any(e not in (0, o) for e, o in zip(expected, offered, strict=True)) or missing:
        raise CheckpointError(
            f"the policy expects state and environment state of {expected} and cameras "
            f"{list(config.views)}; {environment} gives {offered} and {list(scene.cameras)}",
            where=run,
            remedy="evaluate a run that was trained on this environment's data",
        )

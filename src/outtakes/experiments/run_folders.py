"""Trained runs rolled out, from their folders: until all is done, or until it is clear."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from outtakes.errors import CheckpointError, ConfigError
from outtakes.evaluation import evaluate as evaluation
from outtakes.evaluation.comparison import Comparison, compare
from outtakes.evaluation.evaluate import Evaluation, evaluate
from outtakes.evaluation.rolling_out import Decide
from outtakes.evaluation.rollouts import Rollout, RolloutLog
from outtakes.evaluation.sequential import Evidence
from outtakes.evaluation.statistics import SuccessRate, success_rate
from outtakes.evaluation.times import TimeToSuccess, times_to_success
from outtakes.experiments.filming import film_runs
from outtakes.experiments.folder import COMPARISON, SIGNALS, UNTIL_CLEAR
from outtakes.experiments.lab import Lab
from outtakes.experiments.runs import ROLLOUTS
from outtakes.files import Location
from outtakes.monitoring.signal import signal
from outtakes.monitoring.signal_log import SignalLog
from outtakes.policy.checkpoint import Checkpoint
from outtakes.policy.policy import PolicyConfig
from outtakes.progress import Progress
from outtakes.sim.environment import make_environment


@dataclass(frozen=True)
class Evaluated:
    """What the rollouts of some run folders came to."""

    rates: Mapping[str, SuccessRate]
    """Success rate of every arm."""
    comparison: Comparison | None
    """The last arm against the first; None with a single one."""
    videos: Sequence[Path]
    times: Mapping[str, TimeToSuccess]
    """Time to success of every arm, and its difference from the first's."""


def evaluate_runs(
    lab: Lab,
    runs: Sequence[Location],
    *,
    steering: str = "",
    videos: int = 0,
    signals: Sequence[str] = (),
) -> Evaluated:
    """Roll run folders `.../<arm>/seed-<n>` out and leave the artifacts in the experiment's folder.

    Args:
        lab: the experiment: task, rollouts, controller, and where to write.
        runs: the folders; the first arm is the baseline.
        steering: what is asked of the policies that can be steered; the recipe's preference, or
            their default, when "".
        videos: initial states to film every run from.
        signals: names of signals to record at every query of the policies, in `signals.parquet`.

    Raises:
        CheckpointError: when a run does not fit the environment.
        ConfigError: when there is no run, or none that can be steered.
        UnknownName: when there is no such signal, or a run cannot be steered so.
    """
    recorded = SignalLog([signal(name) for name in signals]) if signals else None
    folders = [Path(run) for run in runs]
    if not folders:
        raise ConfigError("no run folder", remedy="give at least one run folder")
    lab = _steered(lab, folders, steering)
    named = ((run.absolute().parent.name, Checkpoint.load(run), run) for run in folders)
    log = roll_out_runs(
        named,
        lab.recipe.evaluation,
        lab.device,
        progress=lab.progress,
        total=len(folders),
        signals=recorded,
    )
    log.save(lab.out / ROLLOUTS)
    if recorded is not None:
        recorded.save(lab.out / SIGNALS)
    outcomes = log.outcomes()
    rates = {arm: success_rate(np.stack(list(by.values()))) for arm, by in outcomes.items()}
    compared = None
    if len(outcomes) > 1:
        baseline, *others = outcomes
        compared = compare(outcomes, baseline=baseline, treatment=others[-1])
        compared.save(lab.out / COMPARISON)
    filmed = film_runs(lab, folders, videos) if videos else []
    return Evaluated(rates, compared, filmed, times_to_success(log, next(iter(outcomes))))


def evaluate_until_clear(
    lab: Lab, runs: Sequence[Location], *, margin: float = 0.1, steering: str = ""
) -> tuple[Evidence, Mapping[str, TimeToSuccess]]:
    """Roll run folders of two arms out until it is clear which succeeds more often.

    The arms start from the same initial states, some at a time; looking at every turn is allowed
    for. Leaves `rollouts.parquet` and `until_clear.json` in the experiment's folder. What is found
    holds for these trained policies, not for other training seeds.

    Args:
        lab: the experiment; its recipe's rollouts are the most there will be of each run.
        runs: folders `.../<arm>/seed-<n>`; the first arm is the baseline.
        margin: a difference that is surely smaller than this counts as none, in [0, 1].
        steering: see `evaluate_runs`.

    Returns:
        The difference of the second arm, and the time to success of both.

    Raises:
        CheckpointError: when a run does not fit the environment.
        ConfigError: when there are not two arms, or none that can be steered.
        UnknownName: when a run cannot be steered so.
    """
    folders = [Path(run) for run in runs]
    lab = _steered(lab, folders, steering)
    loaded = [(run.absolute().parent.name, Checkpoint.load(run)) for run in folders]
    for (_, checkpoint), folder in zip(loaded, folders, strict=True):
        check_fits(checkpoint, folder, lab.recipe.evaluation.task)
    log, found = evaluation.evaluate_until_clear(
        loaded,
        lab.recipe.evaluation,
        margin=margin,
        device=lab.device,
        progress=lab.progress,
    )
    log.save(lab.out / ROLLOUTS)
    baseline, treatment = log.outcomes()
    facts = {"baseline": baseline, "treatment": treatment, "margin": margin}
    found.save(lab.out / UNTIL_CLEAR, {**facts, "clear": found.clear(margin)})
    return found, times_to_success(log, baseline)


def check_asked(policies: Sequence[PolicyConfig], steering: str) -> None:
    """Refuse a steering that a user asked for and that one of these policies cannot take.

    Policies that take none are rolled out beside the others as they are.

    Raises:
        ConfigError: when none of them can be steered.
        UnknownName: when one of them knows no such steering.
    """
    for policy in [p for p in policies if p.steerings != ("",)] or policies:
        policy.check_steering(steering)


def _steered(lab: Lab, folders: Sequence[Path], steering: str) -> Lab:
    """The experiment, whose policies are steered as was asked, if anything was."""
    if not steering:
        return lab
    check_asked([Checkpoint.load(run).config for run in folders], steering)
    controller = replace(lab.recipe.controller, steering=steering)
    return replace(lab, recipe=replace(lab.recipe, controller=controller))


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
            know it, others are steered by their default; see `check_asked`.
        device: "cpu" or "cuda".
        progress: told before every run.
        total: how many runs there are.
        signals: where to record what they say at every query.

    Raises:
        CheckpointError: when a run does not fit the environment.
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
    if checkpoint.tasks and scene.task not in checkpoint.tasks:
        raise CheckpointError(
            f"the policy was trained on {', '.join(map(repr, checkpoint.tasks))}; {environment} "
            f"asks for {scene.task!r}",
            where=run,
            remedy="evaluate it on a task that it was trained on",
        )
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

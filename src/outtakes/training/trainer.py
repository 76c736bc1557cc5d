"""The training loop: visible, resumable, the same for every arm."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from outtakes import version
from outtakes.data.demo import DemoSet
from outtakes.errors import CheckpointError, DatasetError, OuttakesError
from outtakes.policy import kinds
from outtakes.policy.checkpoint import FILE, Checkpoint
from outtakes.policy.eyes.looking import look
from outtakes.policy.policy import Losses, PolicyConfig
from outtakes.training.config import TrainConfig
from outtakes.training.graphed import GraphedStep
from outtakes.training.learner import Learner

Monitor = Callable[[int, Mapping[str, float]], None]
"""Called with the step and its scalars, every `log_every` steps."""


class DivergedError(OuttakesError):
    """The loss stopped being a number."""

    def __init__(self, run: Path, step: int, episodes: list[int]) -> None:
        self.episodes = episodes
        super().__init__(
            f"the loss is not finite at step {step}, in a batch of episodes {episodes}",
            where=run,
            remedy="look at those episodes, or lower the learning rate",
        )


def train(
    demos: DemoSet,
    run: Path,
    *,
    policy: PolicyConfig,
    config: TrainConfig,
    seed: int,
    device: torch.device | str = "cpu",
    monitor: Monitor | None = None,
) -> Checkpoint:
    """Train one policy, or go on where its run folder left off; see `train_together`."""
    (checkpoint,) = train_together(
        demos,
        {seed: run},
        policy=policy,
        config=config,
        device=device,
        monitors={} if monitor is None else {seed: monitor},
    )
    return checkpoint


def train_together(
    demos: DemoSet,
    runs: Mapping[int, Path],
    *,
    policy: PolicyConfig,
    config: TrainConfig,
    device: torch.device | str = "cpu",
    monitors: Mapping[int, Monitor] | None = None,
    start: Mapping[int, Checkpoint] | None = None,
) -> list[Checkpoint]:
    """Train the policies of several seeds, or go on where their run folders left off.

    Where the policy is `stackable`, all seeds that are equally far train as one program, which is
    faster than one after another. The result of a seed depends on the demonstrations, the
    settings, the seed and the number of seeds trained with it, the last by no more than rounding:
    stopping at any moment and calling again ends bitwise where an unbroken call ends (on the CPU).

    Args:
        demos: demonstrations to train on.
        runs: seed -> folder of its run; its checkpoint is made and kept up to date. A seed
            decides initial weights, samples, dropout and latent noise.
        policy: settings of the policies.
        config: length and rates.
        device: where to train.
        monitors: seed -> what is told the scalars of every `log_every`-th step.
        start: seed -> the run that it starts from, by whose weights it acts and whose normaliser
            it keeps; all of one experiment, on the same demonstrations.

    Returns:
        The finished checkpoints, in the order of `runs`.

    Raises:
        CheckpointError: when a folder holds a run of other data, settings, seed or start, or a
            run to start from is of another kind or shape.
        DivergedError: when a loss is NaN or infinite, naming the episodes of the batch.
        DatasetError: when a camera or an outcome is missing.
        MachineError: when frozen eyes must look at the demonstrations first, and cannot.
    """
    _check_cameras(demos, policy)
    policy.check_outcomes(int(demos.successes.sum()), int((~demos.successes).sum()))
    start = start or {}
    origins = {seed: _identity(run) for seed, run in start.items()}
    found = {s: Checkpoint.load(run) for s, run in runs.items() if (run / FILE).exists()}
    for seed, checkpoint in found.items():
        _check_same(checkpoint, demos, policy, config, seed, runs[seed], origins.get(seed, ""))
    taken = {seed: found[seed].step if seed in found else 0 for seed in runs}
    finished = {seed: found[seed] for seed in found if taken[seed] == config.steps}
    if policy.eyes is not None and len(finished) < len(runs):
        demos = look(demos, policy.eyes, device=device)
    for seeds in _groups({s: n for s, n in taken.items() if s not in finished}, policy):
        befores = [start[seed] for seed in seeds if seed in start]
        learner = Learner(demos, policy, config, seeds, torch.device(device), befores)
        for i, seed in enumerate(seeds):
            if seed in found:
                learner.restore(i, found[seed])
        finished |= _finish(learner, runs, monitors or {}, origins)
    return [finished[seed] for seed in runs]


def _groups(taken: Mapping[int, int], policy: PolicyConfig) -> list[list[int]]:
    """Seeds to train as one program: of as many steps, where seeds can be stacked at all."""
    if not policy.stackable:
        return [[seed] for seed in taken]
    return [[s for s in taken if taken[s] == steps] for steps in sorted(set(taken.values()))]


def _finish(
    learner: Learner,
    runs: Mapping[int, Path],
    monitors: Mapping[int, Monitor],
    origins: Mapping[int, str],
) -> dict[int, Checkpoint]:
    """Take the steps that are left; seed -> the last checkpoint."""
    config, checkpoints = learner.config, {}
    on_gpu = learner.device.type == "cuda"
    take_step = learner.advance
    if on_gpu and learner.policy.capturable:
        take_step = GraphedStep(learner, capture=True)
    while learner.step < config.steps:
        rate = learner.rate
        losses, finite = take_step()
        if not bool(finite.all()):
            worst = int((~finite).int().argmax())
            episodes = learner.episodes_of(worst, learner.step - 1)
            raise DivergedError(runs[learner.seeds[worst]], learner.step, episodes)
        last = learner.step == config.steps
        if learner.step % config.log_every == 0 or last:
            for i, seed in enumerate(learner.seeds):
                if seed in monitors:
                    monitors[seed](learner.step, _scalars(losses, i, rate))
        if learner.step % config.save_every == 0 or last:
            for i, seed in enumerate(learner.seeds):
                checkpoints[seed] = _checkpoint(learner, i, origins.get(seed, ""))
                checkpoints[seed].save(runs[seed])
    return checkpoints


def _scalars(losses: Losses, policy: int, rate: float) -> dict[str, float]:
    """What is logged of one policy's step."""
    named = {"loss/total": losses.total, **losses.parts}
    scalars = {name: float(values[policy].detach()) for name, values in named.items()}
    return {**scalars, "learning_rate": rate}


def _checkpoint(learner: Learner, policy: int, origin: str) -> Checkpoint:
    """Everything of one policy, at this step."""
    demos = learner.demos
    return Checkpoint(
        step=learner.step,
        seed=learner.seeds[policy],
        config=learner.policy,
        sizes=learner.sizes,
        dataset=demos.name,
        content_hash=demos.content_hash,
        choices=dict(demos.choices),
        episodes=tuple(int(e) for e in demos.episode_indices),
        successes=tuple(bool(s) for s in demos.successes),
        training={**asdict(learner.config), "start": origin},
        commit=version.commit(),
        tasks=learner.tasks,
        tensors=learner.tensors(policy),
    )


def _check_same(
    found: Checkpoint,
    demos: DemoSet,
    policy: PolicyConfig,
    config: TrainConfig,
    seed: int,
    run: Path,
    origin: str,
) -> None:
    expected = {
        "dataset": demos.content_hash,
        "episodes": tuple(int(e) for e in demos.episode_indices),
        "outcomes": tuple(bool(s) for s in demos.successes),
        "seed": seed,
        "policy": kinds.to_json(policy),
        "length, batch, rate or start of training": _lasting({**asdict(config), "start": origin}),
    }
    actual = {
        "dataset": found.content_hash,
        "episodes": found.episodes,
        "outcomes": found.successes,
        "seed": found.seed,
        "policy": kinds.to_json(found.config),
        "length, batch, rate or start of training": _lasting(found.training),
    }
    different = [name for name, value in expected.items() if actual.get(name) != value]
    if found.choices != dict(demos.choices):
        different += [f"way to read it ({'; '.join(found.differences(demos))})"]
    if different:
        raise CheckpointError(
            "this run was trained with another " + " and ".join(different),
            where=run,
            remedy="give another --out, or remove this run",
        )
    if found.step > config.steps:
        raise CheckpointError(
            f"this run has taken {found.step} steps, {config.steps} were asked for",
            where=run,
            remedy="give another --out, or ask for as many steps",
        )


def _lasting(training: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that shape every step.

    Not among them are how often to save and log, and the number of steps where nothing was planned
    for the last of them, neither a falling learning rate nor successes alone: such a run may be
    lengthened.
    """
    passing = {"save_every", "log_every"}
    # Settings that came later than the run had their defaults in it.
    complete = {**asdict(TrainConfig()), "start": "", **training}
    if complete["schedule"] == "constant" and not complete["finish"]:
        passing.add("steps")
    return {name: value for name, value in complete.items() if name not in passing}


def _identity(run: Checkpoint) -> str:
    """A hash of the weights a run acts by."""
    digest = hashlib.blake2b(digest_size=16)
    for name, tensor in sorted(run.weights().items()):
        digest.update(name.encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


def _check_cameras(demos: DemoSet, policy: PolicyConfig) -> None:
    missing = [camera for camera in policy.views if camera not in demos.images]
    if missing:
        raise DatasetError(
            f"no camera {missing[0]!r}; the dataset has {sorted(demos.images) or 'none'}",
            where=demos.name,
            remedy="choose cameras the dataset has",
        )

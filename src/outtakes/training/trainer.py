"""The training loop: visible, resumable, the same for every arm."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from outtakes import version
from outtakes.data.demo import DemoSet
from outtakes.errors import CheckpointError, DatasetError, OuttakesError
from outtakes.policy.act import ActConfig
from outtakes.policy.loss import Loss, LossConfig
from outtakes.policy.retrieval import retrieval_camera
from outtakes.training.checkpoint import FILE, Checkpoint
from outtakes.training.config import TrainConfig
from outtakes.training.learner import Learner, can_stack

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
    act: ActConfig,
    loss: LossConfig,
    config: TrainConfig,
    seed: int,
    device: torch.device | str = "cpu",
    monitor: Monitor | None = None,
) -> Checkpoint:
    """Train one policy, or go on where its run folder left off; see `train_together`."""
    (checkpoint,) = train_together(
        demos,
        {seed: run},
        act=act,
        loss=loss,
        config=config,
        device=device,
        monitors={} if monitor is None else {seed: monitor},
    )
    return checkpoint


def train_together(
    demos: DemoSet,
    runs: Mapping[int, Path],
    *,
    act: ActConfig,
    loss: LossConfig,
    config: TrainConfig,
    device: torch.device | str = "cpu",
    monitors: Mapping[int, Monitor] | None = None,
) -> list[Checkpoint]:
    """Train the policies of several seeds, or go on where their run folders left off.

    Where `can_stack`, all seeds that are equally far train as one program, which is faster than
    one after another. The result of a seed depends on the demonstrations, the settings, the seed
    and the number of seeds trained with it, the last by no more than rounding: stopping at any
    moment and calling again ends bitwise where an unbroken call ends (on the CPU).

    Args:
        demos: demonstrations to train on.
        runs: seed -> folder of its run; its checkpoint is made and kept up to date. A seed
            decides initial weights, samples, dropout and latent noise.
        act: shape of the policy.
        loss: weights of the loss.
        config: length and rates.
        device: where to train.
        monitors: seed -> what is told the scalars of every `log_every`-th step.

    Returns:
        The finished checkpoints, in the order of `runs`.

    Raises:
        CheckpointError: when a folder holds a run of other data, settings or seed.
        DivergedError: when a loss is NaN or infinite, naming the episodes of the batch.
        DatasetError: when a camera is missing.
    """
    _check_cameras(demos, act)
    found = {s: Checkpoint.load(run) for s, run in runs.items() if (run / FILE).exists()}
    for seed, checkpoint in found.items():
        _check_same(checkpoint, demos, act, loss, config, seed, runs[seed])
    taken = {seed: found[seed].step if seed in found else 0 for seed in runs}
    finished = {seed: found[seed] for seed in found if taken[seed] == config.steps}
    for seeds in _groups({s: n for s, n in taken.items() if s not in finished}, act):
        learner = Learner(demos, act, loss, config, seeds, torch.device(device))
        for i, seed in enumerate(seeds):
            if seed in found:
                learner.restore(i, found[seed])
        finished |= _finish(learner, runs, monitors or {})
    return [finished[seed] for seed in runs]


def _groups(taken: Mapping[int, int], act: ActConfig) -> list[list[int]]:
    """Seeds to train as one program: of as many steps, where seeds can be stacked at all."""
    if not can_stack(act):
        return [[seed] for seed in taken]
    return [[s for s in taken if taken[s] == steps] for steps in sorted(set(taken.values()))]


def _finish(
    learner: Learner, runs: Mapping[int, Path], monitors: Mapping[int, Monitor]
) -> dict[int, Checkpoint]:
    """Take the steps that are left; seed -> the last checkpoint."""
    config, checkpoints = learner.config, {}
    while learner.step < config.steps:
        rate = learner.rate
        batch = learner.batch(learner.step)
        loss, finite = learner.differentiate(batch)
        if not bool(finite.all()):
            worst = int((~finite).int().argmax())
            episodes = learner.episodes_of(worst, learner.step)
            raise DivergedError(runs[learner.seeds[worst]], learner.step + 1, episodes)
        learner.move(batch)
        last = learner.step == config.steps
        if learner.step % config.log_every == 0 or last:
            for i, seed in enumerate(learner.seeds):
                if seed in monitors:
                    monitors[seed](learner.step, _scalars(loss, i, learner.separate, rate))
        if learner.step % config.save_every == 0 or last:
            for i, seed in enumerate(learner.seeds):
                checkpoints[seed] = _checkpoint(learner, i)
                checkpoints[seed].save(runs[seed])
    return checkpoints


def _scalars(loss: Loss, policy: int, separate: bool, rate: float) -> dict[str, float]:
    """What is logged of one policy's step."""
    return {
        "loss/total": float(loss.total[policy].detach()),
        "loss/action_l1": float(loss.action[policy].detach()),
        "loss/vae_kl": float(loss.vae[policy].detach()),
        "divergence/d_sym_nats": float(loss.divergence[policy].detach()),
        "divergence/active": float(separate),
        "learning_rate": rate,
    }


def _checkpoint(learner: Learner, policy: int) -> Checkpoint:
    """Everything of one policy, at this step."""
    demos = learner.demos
    return Checkpoint(
        step=learner.step,
        seed=learner.seeds[policy],
        act=learner.act,
        sizes=learner.sizes,
        dataset=demos.name,
        content_hash=demos.content_hash,
        episodes=tuple(int(e) for e in demos.episode_indices),
        successes=tuple(bool(s) for s in demos.successes),
        settings=_settings(learner.act, learner.loss, learner.config),
        commit=version.commit(),
        tensors=learner.tensors(policy),
    )


def _settings(act: ActConfig, loss: LossConfig, config: TrainConfig) -> dict[str, object]:
    """What must be equal for a run to go on."""
    return {
        "loss": asdict(loss),
        "train": asdict(config),
        "retrieval_camera": retrieval_camera(act),
    }


def _check_same(
    found: Checkpoint,
    demos: DemoSet,
    act: ActConfig,
    loss: LossConfig,
    config: TrainConfig,
    seed: int,
    run: Path,
) -> None:
    expected = {
        "dataset": demos.content_hash,
        "episodes": tuple(int(e) for e in demos.episode_indices),
        "outcomes": tuple(bool(s) for s in demos.successes),
        "seed": seed,
        "policy": {**vars(act), "backbone_weights": None},
        **_lasting(_settings(act, loss, config)),
    }
    actual = {
        "dataset": found.content_hash,
        "episodes": found.episodes,
        "outcomes": found.successes,
        "seed": found.seed,
        "policy": vars(found.act),
        **_lasting(found.settings),
    }
    different = [name for name, value in expected.items() if actual.get(name) != value]
    if different:
        raise CheckpointError(
            "this run was trained with another "
            + " and ".join(_IN_WORDS.get(name, name) for name in different),
            where=run,
            remedy="give another --out, or remove this run",
        )
    if found.step > config.steps:
        raise CheckpointError(
            f"this run has taken {found.step} steps, {config.steps} were asked for",
            where=run,
            remedy="give another --out, or ask for as many steps",
        )


_IN_WORDS = {
    "train": "length, batch or rate of training",
    "loss": "loss",
    "retrieval_camera": "retrieval camera",
}
"""Settings as people know them; other names speak for themselves."""


def _lasting(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that shape every step.

    Not among them are how often to save and log, and the number of steps unless the learning
    rate was planned to fall to 0 at the last: such a run may be lengthened.
    """
    passing = {"save_every", "log_every"}
    if settings["train"]["schedule"] == "constant":
        passing.add("steps")
    train = {name: value for name, value in settings["train"].items() if name not in passing}
    return {**settings, "train": train}


def _check_cameras(demos: DemoSet, act: ActConfig) -> None:
    missing = [camera for camera in act.cameras if camera not in demos.images]
    if missing:
        raise DatasetError(
            f"no camera {missing[0]!r}; the dataset has {sorted(demos.images) or 'none'}",
            where=demos.name,
            remedy="choose cameras the dataset has",
        )

"""Small demonstrations in memory, for the layers that never see a dataset on disk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from torch import Tensor

from outtakes.data.demo import DemoSet
from outtakes.policy.act.act import ActConfig, ActPolicy
from outtakes.policy.act.bias import ParametricBias
from outtakes.policy.act.loss import LossConfig
from outtakes.policy.checkpoint import Checkpoint
from outtakes.policy.policy import Policy, PolicyConfig
from outtakes.training.config import TrainConfig
from outtakes.training.trainer import Monitor, train


def make_demos(
    successes: int = 3,
    failures: int = 3,
    *,
    length: tuple[int, int] = (6, 12),
    camera: bool = False,
    seed: int = 0,
) -> DemoSet:
    """Random states; actions are a linear function of the state, with another sign in failures."""
    rng = np.random.default_rng(seed)
    n = successes + failures
    lengths = rng.integers(*length, size=n)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    state = rng.normal(size=(starts[-1], 4)).astype(np.float32)
    environment_state = rng.normal(size=(starts[-1], 3)).astype(np.float32)
    success = np.arange(n) % 2 == 0 if successes == failures else np.arange(n) < successes
    sign = np.repeat(np.where(success, 1.0, -1.0), lengths)[:, None]
    action = (sign * state @ rng.normal(size=(4, 2))).astype(np.float32)
    images = {}
    if camera:
        images["overhead"] = rng.integers(0, 256, (starts[-1], 64, 64, 3), dtype=np.uint8)
    return DemoSet(
        name="made up",
        content_hash=f"made-up-{seed}",
        fps=20.0,
        episode_indices=np.arange(n) * 2,
        successes=success,
        starts=starts[:-1],
        lengths=np.diff(starts),
        state=state,
        environment_state=environment_state,
        action=action,
        images=images,
    )


TASKS = ("lift the cube", "open the drawer")


def two_tasks(each: int = 3) -> DemoSet:
    """So many successes and failures of each of two tasks, the first task's first."""
    demos = make_demos(2 * each, 2 * each, length=(12, 20))
    return replace(demos, tasks=[TASKS[i >= 2 * each] for i in range(len(demos))])


def small_act(**changes) -> ActConfig:
    """A policy small enough for a test."""
    settings = {
        "chunk": 5,
        "width": 16,
        "heads": 2,
        "encoder_layers": 1,
        "decoder_layers": 3,
        "feed_forward": 24,
        "dropout": 0.0,
        "use_vae": False,
        "loss": LossConfig(kl_weight=0.1),
        "pb_learning_rate": 1e-2,
    }
    return ActConfig(**(settings | changes))


def small_train(**changes) -> TrainConfig:
    """A run of a few quick steps, logged at each."""
    settings = {
        "steps": 4,
        "batch_size": 4,
        "learning_rate": 1e-2,
        "save_every": 1000,
        "log_every": 1,
    }
    return TrainConfig(**(settings | changes))


def train_small(
    run: Path,
    demos: DemoSet | None = None,
    *,
    policy: PolicyConfig | None = None,
    seed: int = 0,
    monitor: Monitor | None = None,
    **changes,
) -> Checkpoint:
    """Train a small policy; `changes` are those of `small_train`."""
    return train(
        demos or make_demos(),
        run,
        policy=policy or small_act(),
        config=small_train(**changes),
        seed=seed,
        monitor=monitor,
    )


def bias_of(policy: Policy) -> ParametricBias:
    """The parametric bias of a policy that has one."""
    assert isinstance(policy, ActPolicy) and policy.bias is not None
    return policy.bias


def gradient_of(parameter: object) -> Tensor:
    """The gradient of a parameter that has one."""
    assert isinstance(parameter, Tensor) and parameter.grad is not None
    return parameter.grad

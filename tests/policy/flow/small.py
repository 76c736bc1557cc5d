"""Flow policies small enough for a test."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from outtakes.data.observation import Observation
from outtakes.policy.checkpoint import Checkpoint
from outtakes.policy.flow.afil import AfilConfig
from outtakes.policy.flow.flow import FlowConfig
from outtakes.policy.flow.labelled import CfgrlConfig
from outtakes.policy.policy import PolicyConfig
from outtakes.training.learner import Learner
from tests.demos import make_demos, small_train

SHAPE: dict[str, Any] = {
    "chunk": 5,
    "width": 16,
    "heads": 2,
    "encoder_layers": 1,
    "decoder_layers": 2,
    "feed_forward": 24,
    "dropout": 0.0,
}


def small_flow(**changes) -> FlowConfig:
    return FlowConfig(**(SHAPE | changes))


def small_afil(**changes) -> AfilConfig:
    return AfilConfig(**(SHAPE | changes))


def small_cfgrl(**changes) -> CfgrlConfig:
    return CfgrlConfig(**(SHAPE | changes))


def learner(
    config: PolicyConfig, seeds: tuple[int, ...], start: Sequence[Checkpoint] = (), **changes
) -> Learner:
    demos = make_demos(camera=bool(config.cameras))
    training = small_train(**({"ema": 0.75} | changes))
    return Learner(demos, config, training, seeds, torch.device("cpu"), start)


def seen(rows: int = 2) -> Observation:
    generator = torch.Generator().manual_seed(1)
    state, environment_state = (torch.randn(rows, n, generator=generator) for n in (4, 3))
    return Observation(state, environment_state, {})

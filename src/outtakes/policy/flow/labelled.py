"""One generator that is told the outcome, and guided by what the telling changes.

Label-conditioned guidance (CFGRL, Frans et al. 2025, arXiv 2505.23458):

    v = v(∅) + w (v(success) − v(∅))

with one generator that learns with the outcome of a demonstration, and at times without it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from outtakes.data.batches import Batch
from outtakes.data.observation import Observation, Sizes
from outtakes.errors import ConfigError, DatasetError, UnknownName
from outtakes.policy.flow.flow import FlowConfig, FlowPolicy
from outtakes.policy.flow.generator import Looked
from outtakes.policy.flow.matching import draw, integrate, interpolate, squared_error, velocity
from outtakes.policy.policy import Losses, Steering
from outtakes.policy.transformer.transformer_policy import Memory
from outtakes.shapes import Float, Int

_FAILURE, _SUCCESS, _UNTOLD = range(3)
_GUIDED = "guided"


@dataclass(frozen=True, kw_only=True)
class CfgrlConfig(FlowConfig):
    """Settings of a flow policy with label-conditioned guidance.

    Raises:
        ConfigError: on a shape, rate or strength that cannot work.
    """

    kind: ClassVar[str] = "cfgrl"
    without_failures: ClassVar[str] = "flow"
    strength: float = 1.5
    """w of the guidance, where nothing else is asked for: 0 is told nothing, 1 the outcome."""
    untold: float = 0.1
    """Share of the samples that learn without their outcome."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_strength(self.strength)
        if not 0 <= self.untold <= 1:
            raise ConfigError(f"untold {self.untold}", remedy="choose it in [0, 1]")

    def build(self, sizes: Sizes) -> CfgrlPolicy:
        """A fresh policy; weights are drawn from torch's global generator."""
        return CfgrlPolicy(self, sizes)

    def describe(self) -> dict[str, str]:
        """Its settings in a few words, for people: what -> how."""
        return super().describe() | {"Guidance": f"by the outcome, strength {self.strength:g}"}

    def check_outcomes(self, successes: int, failures: int) -> None:
        """Refuse data that lack an outcome."""
        if not (successes and failures):
            missing = "failure" if successes else "success"
            raise DatasetError(
                f"no {missing} to learn from", remedy="guidance by the outcome needs both"
            )

    @property
    def steerings(self) -> tuple[str, ...]:
        """Its own guidance, and being told the outcome alone; any "guided-<w>"."""
        return (f"{_GUIDED}-{self.strength:g}", f"{_GUIDED}-1")

    def check_steering(self, steering: str) -> None:
        """Refuse what is no guidance."""
        if steering:
            _strength_of(steering)


def _strength_of(steering: str) -> float:
    """w of "guided-<w>"."""
    name, _, number = steering.partition("-")
    try:
        strength = float(number)
    except ValueError:
        strength = None
    if name != _GUIDED or strength is None:
        raise UnknownName("guidance", steering, [f"{_GUIDED}-<number>"])
    return _check_strength(strength)


def _check_strength(strength: float) -> float:
    if not (math.isfinite(strength) and strength >= 0):
        raise ConfigError(f"strength {strength}", remedy="choose a finite number of at least 0")
    return strength


class CfgrlPolicy(FlowPolicy):
    """A flow policy whose generator is told of every chunk whether its demonstration succeeded.

    Args:
        config: settings.
        sizes: what the dataset dictates.

    Raises:
        ConfigError: when there is nothing to observe.
    """

    def __init__(self, config: CfgrlConfig, sizes: Sizes) -> None:
        super().__init__(config, sizes)
        self.cfgrl = config
        self.label = nn.Embedding(3, config.width)

    def draw_noise(self, samples: int, generator: torch.Generator | None) -> dict[str, Tensor]:
        """As of a flow policy, and of each sample a number in [0, 1) by which it is untold."""
        drawn = super().draw_noise(samples, generator)
        return drawn | {"told": drawn["time"].new_empty(samples).uniform_(generator=generator)}

    def losses(self, batch: Batch, generator: torch.Generator | None = None) -> Losses:
        """Flow matching, told the outcome of all samples but a few."""
        noise = batch.noise or self.draw_noise(len(batch.action), generator)
        label = torch.where(noise["told"] < self.cfgrl.untold, _UNTOLD, batch.success.long())
        memory = self._told(self.encode(batch.observation, generator), label)
        start, time = noise["start"], noise["time"]
        predicted = self.generator(
            interpolate(start, batch.action, time), time, self.generator.look(memory), generator
        )
        loss = squared_error(predicted, velocity(start, batch.action), batch.valid)
        return Losses(loss, {"loss/flow": loss})

    def begin(self, first: Observation, steering: str = "") -> Steering:
        """The strength of the guidance of the episode: the same in every row."""
        strength = _strength_of(steering or self.config.steerings[0])
        condition = torch.full((len(first), 1), strength, dtype=torch.float64)
        return Steering(condition, np.full(len(first), -1, dtype=np.int64))

    def act(
        self, seen: Observation, steering: Steering, generator: torch.Generator | None = None
    ) -> Float[Tensor, "B L A"]:
        """Action chunks sampled from noise under the guidance of the episode."""
        assert steering.condition is not None
        strength = float(steering.condition[0, 0])
        shape = (len(seen), self.config.chunk, self.sizes.action)
        return self.sample_guided(self.encode(seen), draw(shape, generator, self.device), strength)

    def sample_guided(
        self, memory: Memory, noise: Float[Tensor, "B L A"], strength: float
    ) -> Float[Tensor, "B L A"]:
        """Chunks under guidance of this strength; told and untold go through as one batch."""
        rows = len(noise)
        label = torch.tensor([_SUCCESS, _UNTOLD], device=noise.device).repeat_interleave(rows)
        twice = Memory(memory.tokens.repeat(2, 1, 1), memory.positions)
        seen: list[Looked] = self.generator.look(self._told(twice, label))

        def field(x: Tensor, time: float) -> Tensor:
            clock = x.new_full((2 * rows,), time)
            told, untold = self.generator(x.repeat(2, 1, 1), clock, seen).chunk(2)
            return torch.lerp(untold, told, strength)

        return integrate(field, noise, self.config.sampling_steps)

    def _told(self, memory: Memory, label: Int[Tensor, "B"]) -> Memory:
        """The memory with a token more: the outcome, or that it is not told."""
        token = self.label(label)[:, None]
        return Memory(
            torch.cat([memory.tokens, token], dim=1),
            torch.cat([memory.positions, torch.zeros_like(memory.positions[:1])]),
        )

    def errors(
        self, seen: Observation, action: Float[Tensor, "B L A"], steering: Steering
    ) -> Float[Tensor, "B L A"]:
        """As of a flow policy, told that it should succeed."""
        told = torch.full((len(seen),), _SUCCESS, device=action.device)
        return self.velocity_errors(self._told(self.encode(seen), told), action)

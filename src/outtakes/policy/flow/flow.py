"""A flow-matching policy: ACT's encoder, and a generator that turns noise into action chunks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from outtakes.data.batches import Batch
from outtakes.data.observation import Observation, Sizes
from outtakes.errors import ConfigError
from outtakes.policy.flow.generator import Generator
from outtakes.policy.flow.matching import draw, integrate, interpolate, squared_error, velocity
from outtakes.policy.policy import Losses, Policy, Steering
from outtakes.policy.transformer.layers import Encoder
from outtakes.policy.transformer.transformer_policy import (
    Memory,
    TransformerConfig,
    TransformerPolicy,
    initialise,
)
from outtakes.shapes import Float

_JUDGED_AT = 8
"""Fixed draws of noise and time by which a chunk is judged, see `FlowPolicy.errors`."""


@dataclass(frozen=True, kw_only=True)
class FlowConfig(TransformerConfig):
    """Settings of a flow-matching policy.

    Raises:
        ConfigError: on a shape or rate that cannot work, or without a sampling step.
    """

    kind: ClassVar[str] = "flow"
    averaged: ClassVar[float] = 0.99
    sampling_steps: int = 8
    """Euler steps from noise to actions."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sampling_steps < 1:
            raise ConfigError(f"sampling_steps {self.sampling_steps}", remedy="choose at least 1")

    def build(self, sizes: Sizes) -> Policy:
        """A fresh policy; weights are drawn from torch's global generator."""
        return FlowPolicy(self, sizes)

    def describe(self) -> dict[str, str]:
        """Its settings in a few words, for people: what -> how."""
        return {
            "Policy": f"flow matching, chunk {self.chunk}, width {self.width}, "
            f"{self.decoder_layers} generator layers, {self.sampling_steps} sampling steps"
        }


class FlowPolicy(TransformerPolicy):
    """Observation and noise -> action chunk, by following a learned field of velocities.

    Args:
        config: shape of the policy.
        sizes: what the dataset dictates.

    Raises:
        ConfigError: when there is nothing to observe.
    """

    def __init__(self, config: FlowConfig, sizes: Sizes) -> None:
        super().__init__(config, sizes)
        self.config: FlowConfig = config
        self._build_vectors()
        self._build_eyes()
        self.encoder = Encoder(config.encoder_layers, *config.layer_shape)
        initialise(self.encoder)
        self.generator = Generator(config, sizes.action)

    def encode(self, observation: Observation, generator: torch.Generator | None = None) -> Memory:
        """Encode an observation, `generator` giving dropout masks."""
        return self.encode_tokens(self.vectors(observation), observation, generator)

    def draw_noise(self, samples: int, generator: torch.Generator | None) -> dict[str, Tensor]:
        """Of each sample ε ~ N(0, 1), (B, L, A), and τ ~ U(0, 1), (B,)."""
        shape = (samples, self.config.chunk, self.sizes.action)
        start = draw(shape, generator, self.device)
        return {"start": start, "time": start.new_empty(samples).uniform_(generator=generator)}

    def losses(self, batch: Batch, generator: torch.Generator | None = None) -> Losses:
        """E ‖v(x_τ, τ) − (a − ε)‖², the mean over valid steps and dimensions."""
        noise = batch.noise or self.draw_noise(len(batch.action), generator)
        memory = self.encode(batch.observation, generator)
        predicted = self.generator(
            interpolate(noise["start"], batch.action, noise["time"]),
            noise["time"],
            self.generator.look(memory),
            generator,
        )
        loss = squared_error(predicted, velocity(noise["start"], batch.action), batch.valid)
        return Losses(loss, {"loss/flow": loss})

    def act(
        self, seen: Observation, steering: Steering, generator: torch.Generator | None = None
    ) -> Float[Tensor, "B L A"]:
        """Action chunks sampled from noise."""
        shape = (len(seen), self.config.chunk, self.sizes.action)
        return self.sample(self.encode(seen), draw(shape, generator, self.device))

    def sample(self, memory: Memory, noise: Float[Tensor, "B L A"]) -> Float[Tensor, "B L A"]:
        """The chunks that the field carries this noise to."""
        seen = self.generator.look(memory)

        def field(x: Tensor, time: float) -> Tensor:
            return self.generator(x, x.new_full((len(x),), time), seen)

        return integrate(field, noise, self.config.sampling_steps)

    def errors(
        self, seen: Observation, action: Float[Tensor, "B L A"], steering: Steering
    ) -> Float[Tensor, "B L A"]:
        """Root mean square error of the velocity, over noise and times that are always the same."""
        return self.velocity_errors(self.encode(seen), action)

    def velocity_errors(
        self, memory: Memory, action: Float[Tensor, "B L A"], generator: Generator | None = None
    ) -> Float[Tensor, "B L A"]:
        """Root mean square error of a generator's velocity; its own when None.

        Its square, averaged, is the flow-matching loss. Times stand in the middles of equal parts
        of [0, 1].
        """
        model, fixed = generator or self.generator, torch.Generator().manual_seed(0)
        noise = draw((_JUDGED_AT, *action.shape[1:]), fixed, action.device)
        looked, squares = model.look(memory), torch.zeros_like(action)
        for i, one in enumerate(noise):
            start = one.expand_as(action)
            time = action.new_full((len(action),), (i + 0.5) / _JUDGED_AT)
            predicted = model(interpolate(start, action, time), time, looked)
            squares += (predicted - velocity(start, action)).square()
        return (squares / _JUDGED_AT).sqrt()

"""Action Chunking Transformer with parametric bias.

ACT (Zhao et al. 2023, arXiv 2304.13705) as the paper uses it, with two differences from the
original code: every decoder layer is used and the last one is read, and decoder self-attention
can carry a parametric bias (arXiv 2605.07560, Eq. 1).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from outtakes.data.observation import Observation, Sizes
from outtakes.errors import ConfigError, UnknownName
from outtakes.policy.bias import ParametricBias
from outtakes.policy.precision import at_least_fp32
from outtakes.policy.transformer import Decoder, DecoderOutput, Encoder
from outtakes.policy.vision import FEATURES, ResNet18
from outtakes.shapes import Bool, Float, Int

Condition = Literal["none", "pb", "label"]


@dataclass(frozen=True)
class ActConfig:
    """Shape of the policy. The defaults are the paper's (Sec. 4.1) and ACT's."""

    condition: Condition = "pb"
    """What tells demonstrations apart: nothing, a parametric bias, or a one-bit label token."""
    chunk: int = 100
    """L, action steps predicted at once."""
    width: int = 512
    """D, the width of every token."""
    heads: int = 8
    """H, attention heads."""
    encoder_layers: int = 4
    decoder_layers: int = 7
    feed_forward: int = 3200
    """Hidden width of the feed-forward blocks."""
    dropout: float = 0.1
    use_vae: bool = True
    """Train with ACT's conditional variational encoder."""
    latent: int = 32
    """Size of the variational latent."""
    pb_size: int = 5
    """P, size of the parametric bias at each step of the chunk."""
    alpha_pb: float = 1.0
    """alpha_pb in Eq. 1, the scale of the bias."""
    cameras: tuple[str, ...] = ()
    """Cameras the policy looks through; empty for low-dimensional state alone."""
    backbone_weights: Path | None = None
    """safetensors file of ImageNet weights for the ResNet-18, torchvision's names."""

    def __post_init__(self) -> None:
        if self.condition not in ("none", "pb", "label"):
            raise UnknownName("condition", self.condition, ("none", "pb", "label"))
        if self.condition == "pb" and self.decoder_layers < 2:
            raise ConfigError(
                f"parametric bias with {self.decoder_layers} decoder layer: the first layer's "
                "self-attention sees only learned positions, so its attention would be the same "
                "at every observation",
                remedy="use at least 2 decoder layers",
            )
        if self.width % self.heads or self.width % 4:
            raise ConfigError(
                f"width {self.width} with {self.heads} heads",
                remedy="choose a width divisible by 4 and by the number of heads",
            )
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"dropout {self.dropout}", remedy="choose it in [0, 1)")
        for name in ("chunk", "encoder_layers", "decoder_layers", "pb_size", "latent"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} {getattr(self, name)}", remedy="choose at least 1")


@dataclass(frozen=True)
class Memory:
    """The encoder's view of an observation, ready to be decoded under any PB."""

    tokens: Float[Tensor, "B M D"]
    positions: Float[Tensor, "M D"]


@dataclass(frozen=True)
class Latent:
    """The variational encoder's posterior over the style latent."""

    mean: Float[Tensor, "B latent"]
    log_variance: Float[Tensor, "B latent"]

    def sample(self, generator: torch.Generator | None) -> Tensor:
        """One sample, reparameterised."""
        noise = torch.randn(
            self.mean.shape, generator=generator, device=self.mean.device, dtype=self.mean.dtype
        )
        return self.mean + (self.log_variance / 2).exp() * noise


class VariationalEncoder(nn.Module):
    """ACT's CVAE encoder: state and true actions -> posterior of the latent."""

    def __init__(self, config: ActConfig, sizes: Sizes) -> None:
        super().__init__()
        width = config.width
        self.summary = nn.Parameter(torch.randn(1, 1, width))
        self.state = nn.Linear(sizes.state, width) if sizes.state else None
        self.action = nn.Linear(sizes.action, width)
        self.encoder = Encoder(
            config.encoder_layers, width, config.heads, config.feed_forward, config.dropout
        )
        self.posterior = nn.Linear(width, 2 * config.latent)
        tokens = 1 + (sizes.state > 0) + config.chunk
        self.register_buffer("positions", sinusoid(tokens, width), persistent=False)
        self.positions: Tensor

    def forward(
        self, state: Tensor, action: Tensor, valid: Tensor, generator: torch.Generator | None
    ) -> Latent:
        """(B, S), (B, L, A), (B, L) -> posterior."""
        tokens = [self.summary.expand(len(state), -1, -1)]
        if self.state is not None:
            tokens.append(self.state(state)[:, None])
        known = valid.new_ones(len(state), len(tokens))
        padding = ~torch.cat([known, valid], dim=1)
        sequence = at_least_fp32(torch.cat([*tokens, self.action(action)], dim=1))
        summary = self.encoder(sequence, self.positions, padding, generator, wanted=1)[:, 0]
        return Latent(*self.posterior(summary).chunk(2, dim=-1))


class ActPolicy(nn.Module):
    """Observation -> action chunk, under a demonstration's parametric bias.

    Args:
        config: shape of the policy.
        sizes: what the dataset dictates.

    Raises:
        ConfigError: when there is nothing to observe.
    """

    def __init__(self, config: ActConfig, sizes: Sizes) -> None:
        super().__init__()
        if not (sizes.state or sizes.environment_state or config.cameras):
            raise ConfigError(
                "nothing to observe", remedy="give state, environment state or cameras"
            )
        self.config, self.sizes = config, sizes
        width = config.width
        shape = (width, config.heads, config.feed_forward, config.dropout)
        self.latent = nn.Linear(config.latent, width)
        self.state = nn.Linear(sizes.state, width) if sizes.state else None
        self.environment_state = (
            nn.Linear(sizes.environment_state, width) if sizes.environment_state else None
        )
        self.label = nn.Embedding(2, width) if config.condition == "label" else None
        vectors = 1 + sum(
            module is not None for module in (self.state, self.environment_state, self.label)
        )
        self.vector_positions = nn.Parameter(torch.randn(vectors, width))
        self.backbone = ResNet18(config.backbone_weights) if config.cameras else None
        self.image = nn.Conv2d(FEATURES, width, 1) if config.cameras else None
        self.variational = VariationalEncoder(config, sizes) if config.use_vae else None
        self.encoder = Encoder(config.encoder_layers, *shape)
        self.decoder = Decoder(config.decoder_layers, *shape)
        self.action_positions = nn.Parameter(torch.randn(config.chunk, width))
        self.action = nn.Linear(width, sizes.action)
        self.bias = (
            ParametricBias(
                sizes.demos,
                config.chunk,
                config.pb_size,
                config.decoder_layers,
                width,
                config.alpha_pb,
            )
            if config.condition == "pb"
            else None
        )
        self._initialise()

    def _initialise(self) -> None:
        for stack in (self.encoder, self.decoder):
            for parameter in stack.parameters():
                if parameter.dim() > 1:
                    nn.init.xavier_uniform_(parameter)

    def infer_latent(
        self,
        observation: Observation,
        action: Float[Tensor, "B L A"],
        valid: Bool[Tensor, "B L"],
        generator: torch.Generator | None = None,
    ) -> Latent | None:
        """Posterior of the latent given the true actions; None without the CVAE."""
        if self.variational is None:
            return None
        return self.variational(observation.state, action, valid, generator)

    def encode(
        self,
        observation: Observation,
        *,
        latent: Float[Tensor, "B latent"] | None = None,
        label: Int[Tensor, "B"] | None = None,
        generator: torch.Generator | None = None,
    ) -> Memory:
        """Encode an observation.

        Args:
            observation: what is seen.
            latent: style latent; the prior's mean, zero, when None.
            label: 1 for success, 0 for failure; success when None. Only with the label token.
            generator: source of dropout masks.
        """
        batch, device = len(observation), self.action_positions.device
        # The projection of a latent of zeros is its constant term.
        tokens = [self.latent.bias.expand(batch, -1) if latent is None else self.latent(latent)]
        if self.state is not None:
            tokens.append(self.state(observation.state))
        if self.environment_state is not None:
            tokens.append(self.environment_state(observation.environment_state))
        if self.label is not None:
            successes = torch.ones(batch, dtype=torch.long, device=device)
            tokens.append(self.label(successes if label is None else label))
        image_tokens, image_positions = self._encode_images(observation)
        # Between layers tokens are in fp32, whatever the precision of the products.
        sequence = at_least_fp32(torch.cat([torch.stack(tokens, dim=1), *image_tokens], dim=1))
        positions = torch.cat([self.vector_positions, *image_positions])
        return Memory(self.encoder(sequence, positions, None, generator), positions)

    def _encode_images(self, observation: Observation) -> tuple[list[Tensor], list[Tensor]]:
        """Each camera's feature map as (B, h·w, D) tokens, with their 2-D positions (h·w, D)."""
        if self.backbone is None or self.image is None:
            return [], []
        tokens, positions = [], []
        for features in self.backbone.each([observation.images[c] for c in self.config.cameras]):
            projected = self.image(features)
            tokens.append(projected.flatten(2).transpose(1, 2))
            height, width = features.shape[2:]
            positions.append(sinusoid_2d(height, width, self.config.width).to(projected))
        return tokens, positions

    def decode(
        self,
        memory: Memory,
        bias: Float[Tensor, "B L P"] | None = None,
        *,
        generator: torch.Generator | None = None,
        copies: int = 1,
    ) -> DecoderOutput:
        """Decode under a parametric bias; its self-attention logits are the A of Eq. 2."""
        biases = self.bias.project(bias) if self.bias is not None and bias is not None else None
        return self.decoder(
            memory.tokens,
            self.action_positions,
            memory.positions,
            biases,
            generator=generator,
            copies=copies,
        )

    def actions(self, decoded: DecoderOutput) -> Float[Tensor, "B L A"]:
        """Standardised action chunk of a decoder output."""
        # An action's rounding is an error of the action: never below fp32.
        with torch.autocast(decoded.tokens.device.type, enabled=False):
            return self.action(decoded.tokens)

    def forward(
        self, observation: Observation, bias: Float[Tensor, "B L P"] | None = None
    ) -> Float[Tensor, "B L A"]:
        """Action chunk at inference: latent zero, label success, under this bias."""
        return self.actions(self.decode(self.encode(observation), bias))


def sinusoid(length: int, width: int) -> Float[Tensor, "length width"]:
    """Sinusoidal positions (Vaswani et al. 2017): sines at even, cosines at odd columns."""
    column = torch.arange(width, dtype=torch.float64)
    angle = torch.arange(length, dtype=torch.float64)[:, None] / 10000 ** (
        2 * (column // 2) / width
    )
    table = torch.where(column % 2 == 0, angle.sin(), angle.cos())
    return table.float()


def sinusoid_2d(height: int, width: int, channels: int) -> Float[Tensor, "cells channels"]:
    """DETR's image positions, row-major: half the channels for y, half for x, over [0, 2π]."""
    half = channels // 2
    column = torch.arange(half, dtype=torch.float32)
    frequency = 10000 ** (2 * (column // 2) / half)

    def axis(length: int) -> Tensor:
        place = torch.arange(1, length + 1, dtype=torch.float32) / (length + 1e-6) * 2 * math.pi
        angle = place[:, None] / frequency
        return torch.where(column % 2 == 0, angle.sin(), angle.cos())

    y = axis(height)[:, None].expand(height, width, half)
    x = axis(width)[None].expand(height, width, half)
    return torch.cat([y, x], dim=-1).flatten(0, 1)

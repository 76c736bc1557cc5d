"""What turns noise into actions: a transformer decoder over the tokens of a noisy action chunk."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from outtakes.policy.precision import at_least_fp32
from outtakes.policy.transformer.attention import Attention
from outtakes.policy.transformer.dropout import Dropout
from outtakes.policy.transformer.layers import FeedForward
from outtakes.policy.transformer.transformer_policy import Memory, TransformerConfig, initialise
from outtakes.shapes import Float

_PERIODS = (4e-3, 4.0)
"""Shortest and longest period of the waves that tell the time τ in [0, 1], as in π0."""


@dataclass(frozen=True)
class Looked:
    """What one layer sees of an observation: the same at every step of sampling."""

    key: Float[Tensor, "B M D"]
    value: Float[Tensor, "B M D"]


class GeneratorLayer(nn.Module):
    """Self-attention, cross-attention and feed-forward, each on normalised tokens and added."""

    def __init__(self, width: int, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.self_attention = Attention(width, heads, dropout)
        self.cross_attention = Attention(width, heads, dropout)
        self.feed_forward = FeedForward(width, hidden, dropout)
        self.norms = nn.ModuleList([nn.LayerNorm(width) for _ in range(3)])
        self.dropout = Dropout(dropout)

    def look(self, memory: Memory) -> Looked:
        """Keys and values of an encoded observation."""
        attention = self.cross_attention
        return Looked(
            attention.key(memory.tokens + memory.positions), attention.value(memory.tokens)
        )

    def forward(self, x: Tensor, seen: Looked, generator: torch.Generator | None) -> Tensor:
        """(B, L, D) -> the same."""
        attention, y = self.self_attention, self.norms[0](x)
        query, key = attention.query_and_key(y)
        attended = attention.attend(attention.logits(query, key), attention.value(y), generator)
        x = x + self.dropout(attended, generator)
        attention, y = self.cross_attention, self.norms[1](x)
        logits = attention.logits(attention.query(y), seen.key)
        x = x + self.dropout(attention.attend(logits, seen.value, generator), generator)
        return x + self.dropout(self.feed_forward(self.norms[2](x), generator, 1), generator)


class Generator(nn.Module):
    """Noisy action chunk, time and observation -> velocity.

    Args:
        config: shape of its layers.
        actions: A, size of an action.
    """

    def __init__(self, config: TransformerConfig, actions: int) -> None:
        super().__init__()
        width = config.width
        self.noisy = nn.Linear(actions, width)
        self.positions = nn.Parameter(0.02 * torch.randn(config.chunk, width))
        self.time = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.layers = nn.ModuleList(
            [GeneratorLayer(*config.layer_shape) for _ in range(config.decoder_layers)]
        )
        self.norm = nn.LayerNorm(width)
        self.velocity = nn.Linear(width, actions)
        initialise(self.layers)
        self.register_buffer("frequencies", _frequencies(width // 2), persistent=False)
        self.frequencies: Tensor

    def look(self, memory: Memory) -> list[Looked]:
        """What each layer sees of an encoded observation."""
        return [layer.look(memory) for layer in self._layers()]

    def forward(
        self,
        noisy: Float[Tensor, "B L A"],
        time: Float[Tensor, "B"],
        seen: Sequence[Looked],
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, "B L A"]:
        """The velocity of x_τ at τ.

        Args:
            noisy: x_τ.
            time: τ of each row.
            seen: what each layer sees, from `look`.
            generator: source of dropout masks.
        """
        angle = time[:, None] * self.frequencies
        clock = self.time(torch.cat([angle.sin(), angle.cos()], dim=-1))
        x = at_least_fp32(self.noisy(noisy) + self.positions + clock[:, None])
        for layer, own in zip(self._layers(), seen, strict=True):
            x = layer(x, own, generator)
        # A velocity's rounding is an error of the action: never below fp32.
        with torch.autocast(x.device.type, enabled=False):
            return self.velocity(self.norm(x))

    def _layers(self) -> Sequence[GeneratorLayer]:
        return list(self.layers)  # pyright: ignore[reportReturnType]


def _frequencies(count: int) -> Float[Tensor, "count"]:
    """Angular frequencies whose periods are spaced evenly on a logarithmic scale."""
    shortest, longest = map(math.log, _PERIODS)
    return 2 * math.pi / torch.linspace(shortest, longest, count).exp()

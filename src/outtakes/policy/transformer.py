"""The transformer of ACT: post-norm encoder and decoder layers, batch first.

Positions are added to queries and keys, never to values, as in DETR and ACT.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from outtakes.policy.attention import Attention, AttentionBias, Dropout
from outtakes.shapes import Bool, Float


@dataclass(frozen=True)
class DecoderOutput:
    """What the decoder returns."""

    tokens: Float[Tensor, "B L D"]
    """Normalised output of the last layer."""
    logits: tuple[Float[Tensor, "B H L L"], ...]
    """Self-attention logits of every layer, first to last."""


class FeedForward(nn.Module):
    """Two linear maps with a ReLU between them."""

    def __init__(self, width: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.expand = nn.Linear(width, hidden)
        self.contract = nn.Linear(hidden, width)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, generator: torch.Generator | None, copies: int) -> Tensor:
        """(B, L, D) -> (B, L, D)."""
        hidden = torch.relu(self.expand(x))
        return self.contract(self.dropout(hidden, generator, copies))


class EncoderLayer(nn.Module):
    """Self-attention, then feed-forward, each with a residual and a norm after it."""

    def __init__(self, width: int, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.self_attention = Attention(width, heads, dropout)
        self.feed_forward = FeedForward(width, hidden, dropout)
        self.norms = nn.ModuleList([nn.LayerNorm(width) for _ in range(2)])
        self.dropout = Dropout(dropout)

    def forward(
        self,
        x: Tensor,
        positions: Tensor,
        padding: Tensor | None,
        generator: torch.Generator | None,
    ) -> Tensor:
        """(B, M, D) -> (B, M, D)."""
        placed = x + positions
        attended, _ = self.self_attention(placed, placed, x, padding=padding, generator=generator)
        x = self.norms[0](x + self.dropout(attended, generator))
        fed = self.feed_forward(x, generator, 1)
        return self.norms[1](x + self.dropout(fed, generator))


class Encoder(nn.Module):
    """A stack of encoder layers."""

    def __init__(self, layers: int, width: int, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            [EncoderLayer(width, heads, hidden, dropout) for _ in range(layers)]
        )

    def forward(
        self,
        tokens: Float[Tensor, "B M D"],
        positions: Float[Tensor, "*batch M D"],
        padding: Bool[Tensor, "B M"] | None = None,
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, "B M D"]:
        """Encode tokens at these positions; `padding` is True where there is none."""
        for layer in self.layers:
            tokens = layer(tokens, positions, padding, generator)
        return tokens


class DecoderLayer(nn.Module):
    """Self-attention with parametric bias, cross-attention, feed-forward."""

    def __init__(self, width: int, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.self_attention = Attention(width, heads, dropout)
        self.cross_attention = Attention(width, heads, dropout)
        self.feed_forward = FeedForward(width, hidden, dropout)
        self.norms = nn.ModuleList([nn.LayerNorm(width) for _ in range(3)])
        self.dropout = Dropout(dropout)

    def forward(
        self,
        x: Tensor,
        memory: Tensor,
        positions: Tensor,
        memory_positions: Tensor,
        bias: AttentionBias | None,
        generator: torch.Generator | None,
        copies: int,
    ) -> tuple[Tensor, Tensor]:
        """(B, L, D) -> (B, L, D) and the self-attention logits (B, H, L, L)."""
        shared = {"generator": generator, "copies": copies}
        placed = x + positions
        attended, logits = self.self_attention(placed, placed, x, bias=bias, **shared)
        x = self.norms[0](x + self.dropout(attended, **shared))
        attended, _ = self.cross_attention(
            x + positions, memory + memory_positions, memory, **shared
        )
        x = self.norms[1](x + self.dropout(attended, **shared))
        fed = self.feed_forward(x, generator, copies)
        return self.norms[2](x + self.dropout(fed, **shared)), logits


class Decoder(nn.Module):
    """A stack of decoder layers; every one is used and the last is read."""

    def __init__(self, layers: int, width: int, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            [DecoderLayer(width, heads, hidden, dropout) for _ in range(layers)]
        )
        self.norm = nn.LayerNorm(width)

    def forward(
        self,
        memory: Float[Tensor, "B M D"],
        positions: Float[Tensor, "L D"],
        memory_positions: Float[Tensor, "M D"],
        biases: Sequence[AttentionBias] | None = None,
        generator: torch.Generator | None = None,
        copies: int = 1,
    ) -> DecoderOutput:
        """Decode an action chunk from the encoder's memory.

        Args:
            memory: encoder output.
            positions: learned position of each action in the chunk.
            memory_positions: positions of the memory tokens.
            biases: one attention bias a layer, or None.
            generator: source of dropout masks.
            copies: how many stacked copies of one batch share a dropout mask.
        """
        x = memory.new_zeros(len(memory), *positions.shape)
        logits = []
        for i, layer in enumerate(self.layers):
            bias = biases[i] if biases is not None else None
            x, layer_logits = layer(x, memory, positions, memory_positions, bias, generator, copies)
            logits.append(layer_logits)
        return DecoderOutput(self.norm(x), tuple(logits))

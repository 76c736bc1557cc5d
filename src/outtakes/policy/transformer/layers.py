"""The layers of ACT: post-norm encoder and decoder layers, batch first.

Positions are added to queries and keys, never to values, as in DETR and ACT. Nothing is computed
that no output depends on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from outtakes.policy.precision import at_least_fp32
from outtakes.policy.transformer.attention import Attention, AttentionBias
from outtakes.policy.transformer.dropout import Dropout
from outtakes.shapes import Bool, Float


@dataclass(frozen=True)
class DecoderOutput:
    """What the decoder returns."""

    tokens: Float[Tensor, "B L D"]
    """Normalised output of the last layer, of the first copy of the batch."""
    logits: tuple[Float[Tensor, "copiesB H L L"], ...]
    """Self-attention logits of every layer, first to last, of every copy."""


class FeedForward(nn.Module):
    """Two linear maps with a ReLU between them."""

    def __init__(self, width: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.expand = nn.Linear(width, hidden)
        self.contract = nn.Linear(hidden, width)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, generator: torch.Generator | None, copies: int) -> Tensor:
        """(B, L, D) -> (B, L, D)."""
        expand, contract = self.expand, self.contract
        if not self.dropout.active:
            return contract(torch.relu(expand(x)))
        shape = torch.Size((len(x) // copies, x.shape[1], expand.out_features))
        dropped = self.dropout.dropped(shape, x.device, generator)
        hidden = _ExpandReluDrop.apply(x, expand.weight, expand.bias, dropped, copies)
        # What is kept is scaled up on the narrow side.
        return functional.linear(hidden, contract.weight) * self.dropout.scale + contract.bias


class _ExpandReluDrop(torch.autograd.Function):
    """Linear map, ReLU and zeroing of what is dropped, in one buffer.

    Where the output is zero no gradient passes, whether ReLU or dropout zeroed it: the output
    itself is the only mask kept.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, dropped: Tensor, copies: int
    ) -> Tensor:
        """(copies · B, L, D) and `dropped` (B, L, hidden) -> (copies · B, L, hidden)."""
        hidden = functional.linear(x, weight, bias).relu_()
        hidden.unflatten(0, (copies, -1)).masked_fill_(dropped, 0.0)
        # Under autocast the way back must use the precision of the way there.
        ctx.save_for_backward(x.to(hidden.dtype), weight.to(hidden.dtype), hidden)
        return hidden

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of the input, the weight and the constant term."""
        x, weight, hidden = ctx.saved_tensors
        passed = torch.ops.aten.threshold_backward(gradients[0], hidden, 0).flatten(0, 1)
        to_input = (passed @ weight).view_as(x)
        return to_input, passed.t() @ x.flatten(0, 1), passed.sum(0), None, None


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
        wanted: int | None = None,
    ) -> Tensor:
        """(B, M, D) -> (B, wanted, D), the first tokens; all of them when None."""
        attention, placed = self.self_attention, x + positions
        if wanted is None:
            query, key = attention.query_and_key(placed)
        else:
            query, key = attention.query(placed[:, :wanted]), attention.key(placed)
        logits = attention.logits(query, key)
        if padding is not None:
            logits = logits.masked_fill(padding[:, None, None, :], float("-inf"))
        attended = attention.attend(logits, attention.value(x), generator)
        x = self.norms[0](x[:, :wanted] + self.dropout(attended, generator))
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
        wanted: int | None = None,
    ) -> Float[Tensor, "B wanted D"]:
        """Encode tokens at these positions.

        Args:
            tokens: what to encode.
            positions: where each token is.
            padding: True where there is none.
            generator: source of dropout masks.
            wanted: how many of the first tokens are read afterwards; all when None.
        """
        *others, last = self.layers
        for layer in others:
            tokens = layer(tokens, positions, padding, generator)
        return last(tokens, positions, padding, generator, wanted)


class DecoderLayer(nn.Module):
    """Self-attention with parametric bias, cross-attention, feed-forward."""

    def __init__(self, width: int, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.self_attention = Attention(width, heads, dropout)
        self.cross_attention = Attention(width, heads, dropout)
        self.feed_forward = FeedForward(width, hidden, dropout)
        self.norms = nn.ModuleList([nn.LayerNorm(width) for _ in range(3)])
        self.dropout = Dropout(dropout)

    def self_attention_logits(
        self, x: Tensor | None, positions: Tensor, bias: AttentionBias | None
    ) -> Tensor:
        """(B, L, D) -> (B, H, L, L): the argument of the softmax in Eq. 1.

        Args:
            x: the layer's input; None at the first layer, where it is zero.
            positions: learned position of each action in the chunk, (L, D).
            bias: the parametric bias; with neither it nor an input B is 1.
        """
        placed = positions[None] if x is None else x + positions
        query, key = self.self_attention.query_and_key(placed)
        return self.self_attention.logits(query if bias is None else query + bias.query, key)

    def forward(
        self,
        x: Tensor | None,
        logits: Tensor,
        memory: Tensor,
        positions: Tensor,
        memory_positions: Tensor,
        bias: AttentionBias | None,
        generator: torch.Generator | None,
        copies: int,
    ) -> Tensor:
        """(copies · B, L, D) -> the same, with the logits above and the memory (B, M, D).

        What comes before cross-attention is computed once where it is the same for all rows.
        """
        shared = {"generator": generator, "copies": copies}
        attended = self.self_attention.attend(logits, self._value(x, logits, bias), **shared)
        attended = self.dropout(attended, **shared)
        y = self.norms[0](at_least_fp32(attended) if x is None else x + attended)
        attended = self._look(y + positions, memory, memory_positions, generator, copies)
        y = self.norms[1](y + self.dropout(attended, **shared))
        fed = self.feed_forward(y, generator, copies)
        return self.norms[2](y + self.dropout(fed, **shared))

    def _value(self, x: Tensor | None, logits: Tensor, bias: AttentionBias | None) -> Tensor:
        """V of Eq. 1, the bias added; of an input of zeros it is the constant term."""
        project = self.self_attention.value
        constant = project.bias.expand(len(logits), logits.shape[-1], -1)
        value = constant if x is None else project(x)
        return value if bias is None else value + bias.value

    def _look(
        self,
        placed: Tensor,
        memory: Tensor,
        memory_positions: Tensor,
        generator: torch.Generator | None,
        copies: int,
    ) -> Tensor:
        """Cross-attention; keys and values are made once, whatever the number of copies."""
        attention = self.cross_attention
        key, value = attention.key(memory + memory_positions), attention.value(memory)
        if copies > 1:
            key, value = key.repeat(copies, 1, 1), value.repeat(copies, 1, 1)
        logits = attention.logits(attention.query(placed), key)
        return attention.attend(logits, value, generator, copies)


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

        Of further copies of the batch the attention is wanted, not the actions, so that they end
        at the logits of the last layer.

        Args:
            memory: encoder output.
            positions: learned position of each action in the chunk.
            memory_positions: positions of the memory tokens.
            biases: one attention bias a layer, of (copies · B, L, D), or None.
            generator: source of dropout masks.
            copies: how many stacked copies of the batch to decode, sharing dropout masks.
        """
        x, all_logits = None, []
        for i, layer in enumerate(self.layers):
            bias = biases[i] if biases is not None else None
            assert isinstance(layer, DecoderLayer)
            logits = layer.self_attention_logits(x, positions, bias)
            of_each = logits.expand(len(memory) * copies, -1, -1, -1)
            all_logits.append(of_each)
            if layer.dropout.active:  # every row has a mask of its own
                logits = of_each
            if i + 1 == len(self.layers) and copies > 1:
                x, logits, bias = _first_copy(len(memory), x, logits, bias)
                copies = 1
            x = layer(x, logits, memory, positions, memory_positions, bias, generator, copies)
        return DecoderOutput(self.norm(x), tuple(all_logits))


def _first_copy(
    rows: int, x: Tensor | None, logits: Tensor, bias: AttentionBias | None
) -> tuple[Tensor | None, Tensor, AttentionBias | None]:
    """A layer's inputs of the first `rows` rows."""
    own = None if bias is None else AttentionBias(bias.query[:rows], bias.value[:rows])
    return None if x is None else x[:rows], logits[:rows], own

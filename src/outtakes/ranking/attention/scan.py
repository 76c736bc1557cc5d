"""Decoder self-attention under many parametric biases, and nothing else of the policy (Eq. 5).

A ranking asks how one parametric bias (PB) and many others make the decoder attend at the same
observations. What does not differ between its questions is computed once:

- The first layer's self-attention sees zeros, learned positions and the PB: once per PB.
- Keys and values of cross-attention see the observation alone: once per time step.
- Of the last layer only the self-attention logits are asked for: nothing after them is computed.

Tensors have time and PB as leading dimensions, each of size 1 where nothing depends on it, and
broadcasting does the sharing. Blocks of (time step, PB) pairs keep the working set small.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn

from outtakes.policy.act.act import ActPolicy
from outtakes.policy.divergence import symmetric_kl_of
from outtakes.policy.transformer.attention import split_heads
from outtakes.policy.transformer.layers import DecoderLayer
from outtakes.policy.transformer.transformer_policy import Memory
from outtakes.ranking.attention.cross_attention import CrossAttention, attend_to
from outtakes.ranking.attention.footprint import pair_bytes
from outtakes.shapes import Float


@dataclass(frozen=True)
class Attended:
    """Self-attention of one decoder layer; T and S are 1 where it is the same for all of them."""

    logits: Float[Tensor, "T S H L L"]
    probabilities: Float[Tensor, "T S H L L"]

    def at(self, times: slice) -> Attended:
        """That of these time steps alone."""
        if len(self.logits) == 1:
            return self
        return Attended(self.logits[times], self.probabilities[times])

    def divergence(self, other: Attended) -> Float[Tensor, "T S"]:
        """D_sym averaged over heads and query rows, in nats."""
        rows = symmetric_kl_of(self.logits, self.probabilities, other.logits, other.probabilities)
        return rows.mean(dim=(2, 3))


@dataclass(frozen=True)
class BiasedLayer:
    """A decoder layer and the maps by which PBs enter it.

    Everywhere x is (T, S, L, D) and PBs (T, S, L, P); T and S may be 1 in either.
    """

    layer: DecoderLayer
    positions: Float[Tensor, "L D"]
    to_query: nn.Module
    to_value: nn.Module
    alpha: float

    def attended(self, x: Tensor, bias: Tensor) -> Attended:
        """Self-attention under these PBs (Eq. 1)."""
        attention = self.layer.self_attention
        placed = x + self.positions
        query = attention.query(placed) + self.alpha * self.to_query(bias)
        # There are fewer queries than logits to scale.
        query = split_heads(
            query.mul_((query.shape[-1] / attention.heads) ** -0.5), attention.heads
        )
        key = split_heads(attention.key(placed), attention.heads)
        logits = query @ key.transpose(-1, -2)
        return Attended(logits, logits.softmax(-1))

    def past_self_attention(self, x: Tensor, bias: Tensor, probabilities: Tensor) -> Tensor:
        """x after the values of self-attention were added."""
        attention = self.layer.self_attention
        value = attention.value(x) + self.alpha * self.to_value(bias)
        mixed = probabilities @ split_heads(value, attention.heads)
        return self.layer.norms[0](x + attention.out(mixed.transpose(-3, -2).flatten(-2)))

    def past_cross_attention(self, x: Tensor, memory: CrossAttention) -> Tensor:
        """x after it has looked at the observation, and after the feed-forward block."""
        seen = memory.attend((x + self.positions).flatten(1, 2))
        x = self.layer.norms[1](x + seen.unflatten(1, x.shape[1:3]))
        feed_forward = self.layer.feed_forward
        return self.layer.norms[2](x + feed_forward.contract(feed_forward.expand(x).relu_()))


@dataclass(frozen=True)
class Opening:
    """The decoder under some PBs, up to where it first looks at the observation."""

    biases: Float[Tensor, "G S L P"]
    attended: Attended
    """Self-attention of the first layer."""
    x: Float[Tensor, "G S L D"]
    """What goes into the first layer's cross-attention."""


class AttentionScan:
    """D_sym between a policy's attention under one PB and under many others.

    Computes without dropout and without gradients.

    Args:
        policy: with parametric bias, on the device to compute on.
        working_set: bytes that one pass through the decoder may touch. It sets how many pairs of
            time step and PB a pass takes: speed and memory, never the result.
    """

    def __init__(self, policy: ActPolicy, working_set: int) -> None:
        bias = policy.bias
        assert bias is not None
        self._config, self._working_set = policy.config, working_set
        layers = zip(policy.decoder.layers, bias.to_query, bias.to_value, strict=True)
        self._layers = [
            BiasedLayer(
                cast(DecoderLayer, layer), policy.action_positions, to_query, to_value, bias.alpha
            )
            for layer, to_query, to_value in layers
        ]

    @torch.no_grad()
    def divergences(
        self,
        memory: Memory,
        own: Float[Tensor, "L P"],
        others: Float[Tensor, "G S L P"],
    ) -> Float[Tensor, "T S"]:
        """D_sym(A(o_t; own), A(o_t; other)), averaged over layers, heads and query rows, in nats.

        Args:
            memory: the encoder's view of T observations.
            own: the PB to compare with.
            others: the PBs compared with it: the same S at every time step (G = 1), or S for each
                (G = T).
        """
        steps, tokens = memory.tokens.shape[:2]
        at_once = max(1, self._working_set // pair_bytes(self._config, tokens))
        crossings = [attend_to(memory, layer.layer.cross_attention) for layer in self._layers[:-1]]
        reference = list(self._attention(self._open(own[None, None]), crossings))
        found = own.new_empty(steps, others.shape[1])
        for some in blocks(others.shape[1], at_once):
            shared = self._open(others[:, some]) if len(others) == 1 else None
            for times in blocks(steps, at_once // (some.stop - some.start)):
                opening = shared or self._open(others[times, some])
                attention = self._attention(opening, [c.at(times) for c in crossings])
                found[times, some] = _mean_divergence(
                    [attended.at(times) for attended in reference], attention
                )
        return found

    def _open(self, biases: Float[Tensor, "G S L P"]) -> Opening:
        first = self._layers[0]
        x = biases.new_zeros(1, 1, *first.positions.shape)
        attended = first.attended(x, biases)
        x = first.past_self_attention(x, biases, attended.probabilities)
        return Opening(biases, attended, x)

    def _attention(
        self, opening: Opening, crossings: Sequence[CrossAttention]
    ) -> Iterator[Attended]:
        """Self-attention of every layer, first to last, one layer in memory at a time."""
        yield opening.attended
        x = self._layers[0].past_cross_attention(opening.x, crossings[0])
        for layer, crossing in zip(self._layers[1:-1], crossings[1:], strict=True):
            attended = layer.attended(x, opening.biases)
            yield attended
            x = layer.past_self_attention(x, opening.biases, attended.probabilities)
            x = layer.past_cross_attention(x, crossing)
        yield self._layers[-1].attended(x, opening.biases)


def _mean_divergence(reference: Sequence[Attended], attention: Iterator[Attended]) -> Tensor:
    """(T, S) D_sym, averaged over layers."""
    pairs = zip(reference, attention, strict=True)
    total = sum(mine.divergence(theirs) for mine, theirs in pairs)
    return cast(Tensor, total) / len(reference)


def blocks(total: int, at_most: int) -> list[slice]:
    """Consecutive slices of nearly equal length that cover range(total), none longer."""
    count = -(-total // max(1, at_most))
    bounds = [total * i // count for i in range(count + 1)]
    return [slice(start, stop) for start, stop in pairwise(bounds)]

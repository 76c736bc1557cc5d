"""Cross-attention to a memory that many queries share, for inference.

Keys and values are projected once, when the memory is known; queries may then come in any number.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, baddbmm, einsum
from torch.nn.functional import scaled_dot_product_attention

from outtakes.policy.transformer.attention import Attention, split_heads
from outtakes.policy.transformer.transformer_policy import Memory
from outtakes.shapes import Float


@dataclass(frozen=True)
class FullCrossAttention:
    """Queries are projected, attend head by head, and what they found is projected back."""

    attention: Attention
    key: Float[Tensor, "T H M K"]
    value: Float[Tensor, "T H M K"]

    @staticmethod
    def of(memory: Memory, attention: Attention) -> FullCrossAttention:
        """Project the keys and values of a memory."""
        key = attention.key(memory.tokens + memory.positions)
        value = attention.value(memory.tokens)
        return FullCrossAttention(
            attention, split_heads(key, attention.heads), split_heads(value, attention.heads)
        )

    def at(self, times: slice) -> FullCrossAttention:
        """That of these time steps alone."""
        return FullCrossAttention(self.attention, self.key[times], self.value[times])

    def attend(self, query: Float[Tensor, "G R D"]) -> Float[Tensor, "T R D"]:
        """Output for R queries at each time step; G is T, or 1 when all steps share them."""
        q = split_heads(self.attention.query(query), self.attention.heads)
        q = q.expand(len(self.key), -1, -1, -1)
        attended = scaled_dot_product_attention(q, self.key, self.value)
        return self.attention.out(attended.transpose(1, 2).flatten(2))


@dataclass(frozen=True)
class FoldedCrossAttention:
    """The query projection is folded into the keys, the output projection into the values.

    For head h, (x Wqᵀ) kᵀ = x (k Wq)ᵀ and p (v) Woᵀ = p (v Woᵀ): with few tokens in the memory the
    right-hand sides need far less arithmetic for each query.
    """

    key: Float[Tensor, "T MH D"]
    """k Wq / √d_k, heads innermost."""
    shift: Float[Tensor, "T MH 1"]
    """What the constant of the query projection adds to the logits."""
    value: Float[Tensor, "T MH D"]
    """v Woᵀ, heads innermost."""
    constant: Float[Tensor, "D"]
    """That of the output projection."""
    heads: int

    @staticmethod
    def of(memory: Memory, attention: Attention) -> FoldedCrossAttention:
        """Fold the projections into the keys and values of a memory."""
        by_head = (attention.heads, -1)
        key = attention.key(memory.tokens + memory.positions).unflatten(-1, by_head)
        value = attention.value(memory.tokens).unflatten(-1, by_head)
        key = key * key.shape[-1] ** -0.5
        to_query = attention.query.weight.unflatten(0, by_head)  # (H, K, D)
        to_output = attention.out.weight.unflatten(1, by_head)  # (D, H, K)
        shift = einsum("tmhk,hk->tmh", key, attention.query.bias.unflatten(0, by_head))
        return FoldedCrossAttention(
            key=einsum("tmhk,hkd->tmhd", key, to_query).flatten(1, 2),
            shift=shift.flatten(1, 2)[..., None],
            value=einsum("tmhk,dhk->tmhd", value, to_output).flatten(1, 2),
            constant=attention.out.bias,
            heads=attention.heads,
        )

    def at(self, times: slice) -> FoldedCrossAttention:
        """That of these time steps alone."""
        return FoldedCrossAttention(
            self.key[times], self.shift[times], self.value[times], self.constant, self.heads
        )

    def attend(self, query: Float[Tensor, "G R D"]) -> Float[Tensor, "T R D"]:
        """Output for R queries at each time step; G is T, or 1 when all steps share them."""
        queries = query.expand(len(self.key), -1, -1).transpose(1, 2)  # (T, D, R)
        logits = baddbmm(self.shift, self.key, queries)  # (T, M · H, R)
        # Queries stand last: a softmax over so few tokens is fast only across them.
        weights = logits.unflatten(1, (-1, self.heads)).softmax(1).flatten(1, 2)
        return baddbmm(self.constant, weights.transpose(1, 2), self.value)


CrossAttention = FullCrossAttention | FoldedCrossAttention
"""The memories of T time steps, as one attention layer sees them."""


def attend_to(memory: Memory, attention: Attention) -> CrossAttention:
    """Project a memory's keys and values for one attention layer, in the cheaper of two ways."""
    tokens, width = memory.tokens.shape[1:]
    if folds(tokens, width, attention.heads):
        return FoldedCrossAttention.of(memory, attention)
    return FullCrossAttention.of(memory, attention)


def folds(tokens: int, width: int, heads: int) -> bool:
    """Whether a query costs less arithmetic with the projections folded into the memory."""
    return heads * tokens < width + tokens

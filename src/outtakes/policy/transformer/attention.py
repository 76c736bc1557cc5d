"""Multi-head attention that can be biased (paper, Eq. 1) and whose logits can be read."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from outtakes.policy.transformer.dropout import Dropout
from outtakes.shapes import Float


@dataclass(frozen=True)
class AttentionBias:
    """What a parametric bias adds to one attention layer, already scaled by alpha_pb."""

    query: Float[Tensor, "B L D"]
    """alpha_pb · pb_q."""
    value: Float[Tensor, "B L D"]
    """alpha_pb · pb_v."""


def attention_logits(
    query: Float[Tensor, "Q H L K"], key: Float[Tensor, "C H M K"]
) -> Float[Tensor, "B H L M"]:
    """Q Kᵀ / √d_k: the argument of the softmax in Eq. 1; Q and C are B, or 1 for what all share."""
    return (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)


def split_heads(x: Tensor, heads: int) -> Tensor:
    """(..., L, D) -> (..., H, L, D / H)."""
    return x.unflatten(-1, (heads, -1)).transpose(-3, -2)


class Attention(nn.Module):
    """Multi-head attention, `softmax(Q Kᵀ / √d_k) V`, in two halves.

    `logits` is the argument of the softmax and `attend` what follows it. Between projection and
    halves the caller may add a parametric bias to Q and V, before the split into heads (Eq. 1).

    Args:
        width: D, the model width.
        heads: H, dividing D.
        dropout: rate on the attention probabilities; the logits never see it.
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)
        self.dropout = Dropout(dropout)

    def query_and_key(self, x: Float[Tensor, "B L D"]) -> tuple[Tensor, Tensor]:
        """Both projections of the same tokens, in one product."""
        weight = torch.cat([self.query.weight, self.key.weight])
        bias = torch.cat([self.query.bias, self.key.bias])
        query, key = functional.linear(x, weight, bias).chunk(2, dim=-1)
        return query, key

    def logits(
        self, query: Float[Tensor, "Q L D"], key: Float[Tensor, "C M D"]
    ) -> Float[Tensor, "B H L M"]:
        """Attention logits of projected queries and keys."""
        return attention_logits(split_heads(query, self.heads), split_heads(key, self.heads))

    def attend(
        self,
        logits: Float[Tensor, "B H L M"],
        value: Float[Tensor, "B M D"],
        generator: torch.Generator | None = None,
        copies: int = 1,
    ) -> Float[Tensor, "B L D"]:
        """Projected values weighted by the softmax of the logits, and projected out.

        Args:
            logits: -inf where nothing may be attended to.
            value: projected values.
            generator: source of dropout masks.
            copies: how many stacked copies of one batch share a dropout mask.
        """
        weights = self.dropout(logits.softmax(-1), generator, copies)
        blended = weights @ split_heads(value, self.heads)
        return self.out(blended.transpose(1, 2).flatten(2))

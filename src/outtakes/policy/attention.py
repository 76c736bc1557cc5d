"""Multi-head attention that can be biased (paper, Eq. 1) and whose logits can be read."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from outtakes.shapes import Bool, Float


@dataclass(frozen=True)
class AttentionBias:
    """What a parametric bias adds to one attention layer, already scaled by alpha_pb."""

    query: Float[Tensor, "B L D"]
    """alpha_pb · pb_q."""
    value: Float[Tensor, "B L D"]
    """alpha_pb · pb_v."""


def attention_logits(
    query: Float[Tensor, "B H L K"], key: Float[Tensor, "B H M K"]
) -> Float[Tensor, "B H L M"]:
    """Q Kᵀ / √d_k: the argument of the softmax in Eq. 1."""
    return query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5


class Dropout(nn.Module):
    """Dropout whose mask comes from a generator and is shared by stacked copies of a batch.

    The KL term runs one batch under two parametric biases, stacked along the batch. Both halves
    must see the same mask, else noise would count as divergence.

    Args:
        rate: probability of zeroing an element, in [0, 1).
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(
        self, x: Tensor, generator: torch.Generator | None = None, copies: int = 1
    ) -> Tensor:
        """Drop elements of x (copies · B, ...) while training; otherwise return x."""
        if not self.training or self.rate == 0.0:
            return x
        mask = torch.rand(
            (len(x) // copies, *x.shape[1:]), generator=generator, device=x.device, dtype=x.dtype
        )
        keep = (mask >= self.rate).to(x.dtype) / (1 - self.rate)
        return x * (keep if copies == 1 else keep.repeat(copies, *[1] * (x.dim() - 1)))


class Attention(nn.Module):
    """Multi-head attention with optional parametric bias.

    `softmax((Q + a·pb_q) Kᵀ / √d_k) (V + a·pb_v)`, the bias added before the split into heads
    (Eq. 1). Without a bias it is ordinary multi-head attention.

    Args:
        width: D, the model width.
        heads: H, dividing D.
        dropout: rate on the attention probabilities; the returned logits never see it.
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)
        self.dropout = Dropout(dropout)

    def forward(
        self,
        query: Float[Tensor, "B L D"],
        key: Float[Tensor, "B M D"],
        value: Float[Tensor, "B M D"],
        *,
        bias: AttentionBias | None = None,
        padding: Bool[Tensor, "B M"] | None = None,
        generator: torch.Generator | None = None,
        copies: int = 1,
    ) -> tuple[Float[Tensor, "B L D"], Float[Tensor, "B H L M"]]:
        """The attended values, and the logits whose softmax is the attention distribution.

        Args:
            query: inputs of the query projection.
            key: inputs of the key projection.
            value: inputs of the value projection.
            bias: what the parametric bias adds to Q and V.
            padding: True where a key must not be attended to.
            generator: source of dropout masks.
            copies: how many stacked copies of one batch share a dropout mask.
        """
        q, k, v = self.query(query), self.key(key), self.value(value)
        if bias is not None:
            q, v = q + bias.query, v + bias.value
        logits = attention_logits(self._split(q), self._split(k))
        if padding is not None:
            logits = logits.masked_fill(padding[:, None, None, :], float("-inf"))
        weights = self.dropout(logits.softmax(-1), generator, copies)
        return self.out((weights @ self._split(v)).transpose(1, 2).flatten(2)), logits

    def _split(self, x: Tensor) -> Tensor:
        """(B, L, D) -> (B, H, L, D / H)."""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

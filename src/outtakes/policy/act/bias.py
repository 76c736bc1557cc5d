"""Parametric bias (PB): a learned latent sequence for every demonstration."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from outtakes.policy.transformer.attention import AttentionBias
from outtakes.shapes import Float, Int


class ParametricBias(nn.Module):
    """The PB table and its projections into every decoder layer (paper, Sec. 3.1).

    Args:
        demos: N, rows of the table.
        chunk: L, action steps of a chunk.
        size: P, the PB's size (5 in the paper).
        layers: decoder layers, each with two independent maps P -> D without bias.
        width: D.
        alpha: alpha_pb, the scale of the bias in Eq. 1.
    """

    def __init__(
        self, demos: int, chunk: int, size: int, layers: int, width: int, alpha: float
    ) -> None:
        super().__init__()
        self.alpha = alpha
        self.table = nn.Parameter(torch.zeros(demos, chunk, size))
        self.to_query = nn.ModuleList([nn.Linear(size, width, bias=False) for _ in range(layers)])
        self.to_value = nn.ModuleList([nn.Linear(size, width, bias=False) for _ in range(layers)])

    def rows(self, demos: Int[Tensor, "B"]) -> Float[Tensor, "B L P"]:
        """The PB of each of these demonstrations."""
        return self.table[demos]

    def mean(self) -> Float[Tensor, "L P"]:
        """Mean PB of all demonstrations, failures included."""
        return self.table.detach().mean(dim=0)

    def project(self, bias: Float[Tensor, "B L P"]) -> list[AttentionBias]:
        """alpha_pb · pb_q and alpha_pb · pb_v of every decoder layer (Eq. 1)."""
        return [
            AttentionBias(self.alpha * to_query(bias), self.alpha * to_value(bias))
            for to_query, to_value in zip(self.to_query, self.to_value, strict=True)
        ]

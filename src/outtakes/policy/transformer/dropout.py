"""Dropout whose masks come from a generator."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_LEVELS = 2**16
"""Values of the 16 random bits that decide over one element."""


class Dropout(nn.Module):
    """Dropout whose mask comes from a generator and is shared by stacked copies of a batch.

    The KL term runs one batch under two parametric biases, stacked along the batch. Both halves
    must see the same mask, else noise would count as divergence.

    Args:
        rate: probability of zeroing an element, in [0, 1); taken to the nearest 2⁻¹⁶.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    @property
    def active(self) -> bool:
        """Whether anything is dropped: while training, at a rate above zero."""
        return self.training and self.rate > 0

    @property
    def scale(self) -> float:
        """What the elements that are kept are multiplied by."""
        return 1 / (1 - round(self.rate * _LEVELS) / _LEVELS)

    def dropped(
        self, shape: torch.Size, device: torch.device, generator: torch.Generator | None
    ) -> Tensor:
        """Which elements of a tensor of this shape are zeroed, bool.

        Four elements share one 64-bit draw: drawing is what dropout costs on a CPU.
        """
        count = shape.numel()
        bits = torch.empty(-(-count // 4), dtype=torch.int64, device=device)
        lanes = bits.random_(-(2**63), None, generator=generator).view(torch.int16)
        return (lanes < round(self.rate * _LEVELS) - _LEVELS // 2)[:count].view(shape)

    def forward(
        self, x: Tensor, generator: torch.Generator | None = None, copies: int = 1
    ) -> Tensor:
        """Drop elements of x (copies · B, ...) while training; otherwise return x."""
        if not self.active:
            return x
        stacked = x.unflatten(0, (copies, -1))
        dropped = self.dropped(stacked.shape[1:], x.device, generator)
        return (stacked.masked_fill(dropped, 0.0) * self.scale).flatten(0, 1)

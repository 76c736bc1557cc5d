"""Fixed positions of tokens: along a sequence, and in an image."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from outtakes.shapes import Float


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

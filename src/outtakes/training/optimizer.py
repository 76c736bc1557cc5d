"""Optimisers and the learning-rate schedule."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from outtakes.policy.act import ActPolicy
from outtakes.shapes import Bool


class RowAdam:
    """Adam on a table of which each step sees a few rows: absent rows do not move.

    Ordinary Adam keeps moving a row by its momentum long after its demonstration was last seen,
    and lets its second moment decay. Here moments and step count belong to the row, and only
    rows of the batch are updated (Kingma & Ba 2015, per row).

    Args:
        table: (N, ...) parameter.
        betas: decay of the first and second moment.
        epsilon: added to the root of the second moment.
    """

    def __init__(
        self,
        table: nn.Parameter,
        betas: tuple[float, float] = (0.9, 0.999),
        epsilon: float = 1e-8,
    ) -> None:
        self.table, self.betas, self.epsilon = table, betas, epsilon
        self.first = torch.zeros_like(table)
        self.second = torch.zeros_like(table)
        self.steps = table.new_zeros(len(table))

    @torch.no_grad()
    def step(self, rows: Bool[Tensor, "N"], learning_rate: float) -> None:
        """Move these rows along their gradient, then clear it."""
        gradient = self.table.grad
        if gradient is None:
            return
        shape = (-1,) + (1,) * (self.table.dim() - 1)
        seen = rows.view(shape)
        beta1, beta2 = self.betas
        self.steps += rows
        self.first = torch.where(seen, self.first.lerp(gradient, 1 - beta1), self.first)
        self.second = torch.where(seen, self.second.lerp(gradient.square(), 1 - beta2), self.second)
        age = self.steps.clamp(min=1).view(shape)
        first = self.first / (1 - beta1**age)
        second = self.second / (1 - beta2**age)
        move = learning_rate * first / (second.sqrt() + self.epsilon)
        self.table.sub_(torch.where(seen, move, torch.zeros_like(move)))
        self.table.grad = None


def build_adamw(policy: ActPolicy, weight_decay: float, backbone_scale: float) -> torch.optim.AdamW:
    """AdamW over everything but the PB table, which has a rate of its own and no decay.

    The rate of each group is set before every step as `scale` times the schedule.
    """
    table = policy.bias.table if policy.bias is not None else None
    groups: dict[float, list[nn.Parameter]] = {1.0: [], backbone_scale: []}
    for name, parameter in policy.named_parameters():
        if parameter is not table:
            groups[backbone_scale if name.startswith("backbone.") else 1.0].append(parameter)
    return torch.optim.AdamW(
        [{"params": group, "scale": scale} for scale, group in groups.items() if group],
        lr=0.0,
        weight_decay=weight_decay,
        fused=True,
    )


def schedule(step: int, steps: int, warmup: int, kind: str) -> float:
    """Fraction of the peak learning rate at a step: linear warm-up, then flat or a cosine to 0."""
    if step < warmup:
        return (step + 1) / warmup
    if kind == "constant":
        return 1.0
    progress = (step - warmup) / max(steps - warmup, 1)
    return 0.5 * (1 + math.cos(math.pi * progress))

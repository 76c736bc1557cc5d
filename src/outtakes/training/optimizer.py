"""Optimisers and the learning-rate schedule."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw

from outtakes.policy.act import ActPolicy
from outtakes.shapes import Bool, Float
from outtakes.training.flat import FlatParameters, clip_rows

TABLE = "bias.table"
"""Name of the PB table among a policy's parameters."""
_MOMENTS = ("exp_avg", "exp_avg_sq")


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
        seen = rows.view(shape).to(gradient)
        beta1, beta2 = self.betas
        self.steps += rows
        # An absent row's gradient counts for nothing and its moments do not decay.
        self.first += seen * (1 - beta1) * (gradient - self.first)
        self.second += seen * (1 - beta2) * (gradient.square() - self.second)
        age = self.steps.clamp(min=1).view(shape)
        first = self.first / (1 - beta1**age)
        second = self.second / (1 - beta2**age)
        self.table -= seen * learning_rate * first / (second.sqrt() + self.epsilon)
        self.table.grad = None


class FlatAdamW:
    """AdamW (Loshchilov & Hutter 2019) on the rows of one buffer, torch's fused kernel.

    Args:
        flat: the parameters.
        weight_decay: decoupled from the gradient, as a share of the learning rate.
    """

    def __init__(self, flat: FlatParameters, weight_decay: float) -> None:
        self.flat, self.weight_decay = flat, weight_decay
        self.moments = {name: torch.zeros_like(flat.values) for name in _MOMENTS}
        self.steps = flat.values.new_zeros(())

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """Move along the gradients laid into the buffer."""
        adamw(
            [self.flat.values],
            [self.flat.gradients],
            [self.moments["exp_avg"]],
            [self.moments["exp_avg_sq"]],
            [],
            [self.steps],
            fused=True,
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            lr=rate,
            weight_decay=self.weight_decay,
            eps=1e-8,
            maximize=False,
        )

    def tensors(self, policy: int) -> dict[str, Tensor]:
        """The state of one policy: `<parameter>.<moment>`."""
        tensors = {f"{name}.step": self.steps for name in self.flat.places}
        for moment, rows in self.moments.items():
            views = self.flat.views(rows[policy : policy + 1])
            tensors |= {f"{name}.{moment}": view[0] for name, view in views.items()}
        return tensors

    def restore(self, policy: int, tensors: Mapping[str, Tensor]) -> None:
        """Put the state of one policy back."""
        for name, own in self.tensors(policy).items():
            own.copy_(tensors[name])


class Optimizer:
    """AdamW over the networks of one or several policies, and `RowAdam` over their PB tables.

    The PB table has a learning rate of its own, no weight decay and no clipping. The gradient of
    each policy's network is clipped by its own norm.

    Args:
        policies: n policies of one shape; from here on their parameters are views of the
            optimiser's buffers.
        weight_decay: AdamW's, on everything but the PB tables.
        backbone_scale: learning rate of the image backbone, as a fraction of the network's.
    """

    def __init__(
        self, policies: Sequence[ActPolicy], weight_decay: float, backbone_scale: float
    ) -> None:
        names: dict[float, list[str]] = {1.0: [], backbone_scale: []}
        for name, _ in policies[0].named_parameters():
            if name != TABLE:
                names[backbone_scale if name.startswith("backbone.") else 1.0].append(name)
        self.policies = len(policies)
        self.networks = {
            scale: FlatAdamW(FlatParameters(policies, own), weight_decay)
            for scale, own in names.items()
            if own
        }
        self.rows = RowAdam(_joined_tables(policies)) if policies[0].bias is not None else None

    def stacked(self) -> dict[str, Tensor]:
        """Name -> (n, ...) of every parameter, to be differentiated by; memory is shared."""
        networks = self.networks.values()
        parameters = {k: v for network in networks for k, v in network.flat.stacked().items()}
        if self.rows is not None:
            table = self.rows.table.detach().unflatten(0, (self.policies, -1))
            parameters[TABLE] = table.requires_grad_()
        return parameters

    def take(self, gradients: Mapping[str, Tensor | None], clip: float) -> Float[Tensor, "n"]:
        """Take the gradients of `stacked`, or of the one policy; the networks' norms, unclipped."""
        for network in self.networks.values():
            network.flat.take_gradients(gradients)
        table = gradients.get(TABLE)
        if self.rows is not None and table is not None:
            self.rows.table.grad = table.reshape(self.rows.table.shape)
        return clip_rows([network.flat.gradients for network in self.networks.values()], clip)

    def step(self, rate: float, pb_rate: float, rows: Bool[Tensor, "n N"] | None = None) -> None:
        """Move along the gradients taken.

        Args:
            rate: learning rate of the network.
            pb_rate: learning rate of the PB tables.
            rows: which rows of each table were in the batch; None where there are no tables.
        """
        for scale, network in self.networks.items():
            network.step(rate * scale)
        if self.rows is not None and rows is not None:
            self.rows.step(rows.flatten(), pb_rate)

    def tensors(self, policy: int) -> dict[str, Tensor]:
        """The state of one policy: `adamw.<parameter>.<moment>` and `rows.<moment>`."""
        tensors = {
            f"adamw.{name}": tensor
            for network in self.networks.values()
            for name, tensor in network.tensors(policy).items()
        }
        return tensors | {f"rows.{name}": own for name, own in self._rows_of(policy).items()}

    def restore(self, policy: int, adamw: Mapping[str, Tensor], rows: Mapping[str, Tensor]) -> None:
        """Put the state of one policy back, named as in `tensors` less the owner."""
        for network in self.networks.values():
            network.restore(policy, adamw)
        for name, own in self._rows_of(policy).items():
            own.copy_(rows[name])

    def _rows_of(self, policy: int) -> dict[str, Tensor]:
        if self.rows is None:
            return {}
        moments = {"first": self.rows.first, "second": self.rows.second, "steps": self.rows.steps}
        return {name: m.unflatten(0, (self.policies, -1))[policy] for name, m in moments.items()}


def _joined_tables(policies: Sequence[ActPolicy]) -> nn.Parameter:
    """(n · N, L, P): the PB tables below one another; each policy's becomes a view of it."""
    tables = [policy.bias.table for policy in policies if policy.bias is not None]
    joined = nn.Parameter(torch.cat([table.detach() for table in tables]))
    for table, rows in zip(tables, joined.detach().chunk(len(tables)), strict=True):
        table.data = rows
    return joined


def schedule(step: int, steps: int, warmup: int, kind: str) -> float:
    """Fraction of the peak learning rate at a step: linear warm-up, then flat or a cosine to 0."""
    if step < warmup:
        return (step + 1) / warmup
    if kind == "constant":
        return 1.0
    progress = (step - warmup) / max(steps - warmup, 1)
    return 0.5 * (1 + math.cos(math.pi * progress))

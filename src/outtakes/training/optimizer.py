"""Optimisers and the learning-rate schedule."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw

from outtakes.policy.policy import ParameterGroup, Policy
from outtakes.shapes import Bool, Float
from outtakes.training.flat import FlatParameters, clip_rows

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

    @property
    def state(self) -> dict[str, Tensor]:
        """Moments and step counts, by name."""
        return {"first": self.first, "second": self.second, "steps": self.steps}

    @torch.no_grad()
    def step(self, rows: Bool[Tensor, "N"], learning_rate: float | Tensor) -> None:
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
    def step(self, rate: float | Tensor) -> None:
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

    @property
    def state(self) -> list[Tensor]:
        """Parameters, moments and the count of steps."""
        return [self.flat.values, *self.moments.values(), self.steps]

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
    """AdamW over the networks of one or several policies, and `RowAdam` over row-wise tables.

    What is stepped how is said by the policy's `groups`. The gradient of each policy's network is
    clipped by its own norm; row-wise tables are not clipped and do not decay.

    Args:
        policies: n policies of one shape; from here on their parameters are views of the
            optimiser's buffers.
        learning_rate: peak rate of groups that have none of their own.
        weight_decay: AdamW's, on the groups that decay.
    """

    def __init__(
        self, policies: Sequence[Policy], learning_rate: float, weight_decay: float
    ) -> None:
        self.policies, self.learning_rate = len(policies), learning_rate
        self.networks: list[tuple[ParameterGroup, FlatAdamW]] = []
        self.tables: dict[str, tuple[ParameterGroup, RowAdam]] = {}
        for group in _merged(policies[0]):
            names = [name for name, _ in policies[0].named_parameters() if name in group.names]
            if group.rowwise:
                self.tables |= {n: (group, RowAdam(_joined(policies, n))) for n in names}
            else:
                decay = weight_decay if group.decays else 0.0
                self.networks.append((group, FlatAdamW(FlatParameters(policies, names), decay)))

    def stacked(self) -> dict[str, Tensor]:
        """Name -> (n, ...) of every parameter, to be differentiated by; memory is shared."""
        parameters = {k: v for _, net in self.networks for k, v in net.flat.stacked().items()}
        for name, (_, rows) in self.tables.items():
            table = rows.table.detach().unflatten(0, (self.policies, -1))
            parameters[name] = table.requires_grad_()
        return parameters

    def take(self, gradients: Mapping[str, Tensor | None], clip: float) -> Float[Tensor, "n"]:
        """Take the gradients of `stacked`, or of the one policy; the networks' norms, unclipped."""
        for _, network in self.networks:
            network.flat.take_gradients(gradients)
        for name, (_, rows) in self.tables.items():
            gradient = gradients[name]
            if gradient is not None:
                rows.table.grad = gradient.reshape(rows.table.shape)
        return clip_rows([network.flat.gradients for _, network in self.networks], clip)

    def step(self, fraction: float | Tensor, used: Bool[Tensor, "n N"] | None = None) -> None:
        """Move along the gradients taken.

        Args:
            fraction: of the peak learning rates.
            used: which rows of each policy's tables the batch used; None where there are no
                tables.
        """
        for group, network in self.networks:
            network.step(self._rate(group, fraction))
        if used is not None:
            for group, rows in self.tables.values():
                rows.step(used.flatten(), self._rate(group, fraction))

    def _rate(self, group: ParameterGroup, fraction: float | Tensor) -> float | Tensor:
        peak = self.learning_rate if group.rate is None else group.rate
        return peak * fraction * group.scale

    def values(self) -> list[Tensor]:
        """Every parameter of all policies: a buffer of each network, and each table."""
        networks = [network.flat.values for _, network in self.networks]
        return networks + [rows.table for _, rows in self.tables.values()]

    def named(self, values: Sequence[Tensor], policy: int) -> dict[str, Tensor]:
        """The parameters of one policy by name, out of tensors like those of `values`."""
        named, left = {}, iter(values)
        for _, network in self.networks:
            views = network.flat.views(next(left)[policy : policy + 1])
            named |= {name: view[0] for name, view in views.items()}
        for name in self.tables:
            named[name] = next(left).unflatten(0, (self.policies, -1))[policy]
        return named

    def state(self) -> list[Tensor]:
        """Everything that a step changes: parameters, moments, counts."""
        networks = [own for _, network in self.networks for own in network.state]
        for _, rows in self.tables.values():
            networks += [rows.table, *rows.state.values()]
        return networks

    def tensors(self, policy: int) -> dict[str, Tensor]:
        """The state of one policy: `adamw.<parameter>.<moment>` and `rows.<table>.<moment>`."""
        tensors = {
            f"adamw.{name}": tensor
            for _, network in self.networks
            for name, tensor in network.tensors(policy).items()
        }
        return tensors | {f"rows.{name}": own for name, own in self._rows_of(policy).items()}

    def restore(self, policy: int, adamw: Mapping[str, Tensor], rows: Mapping[str, Tensor]) -> None:
        """Put the state of one policy back, named as in `tensors` less the owner."""
        for _, network in self.networks:
            network.restore(policy, adamw)
        for name, own in self._rows_of(policy).items():
            own.copy_(rows[name])

    def _rows_of(self, policy: int) -> dict[str, Tensor]:
        return {
            f"{name}.{moment}": values.unflatten(0, (self.policies, -1))[policy]
            for name, (_, rows) in self.tables.items()
            for moment, values in rows.state.items()
        }


def _merged(policy: Policy) -> list[ParameterGroup]:
    """The policy's groups, those that are treated alike as one."""
    alike: dict[ParameterGroup, frozenset[str]] = {}
    for group in policy.groups():
        key = replace(group, names=frozenset())
        alike[key] = alike.get(key, frozenset()) | group.names
    return [replace(key, names=names) for key, names in alike.items() if names]


def _joined(policies: Sequence[Policy], name: str) -> nn.Parameter:
    """(n · N, ...): the tables of this name below one another; each policy's becomes a view."""
    tables = [policy.get_parameter(name) for policy in policies]
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

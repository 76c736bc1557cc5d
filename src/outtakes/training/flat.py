"""The parameters of one or several policies in one buffer, so that a step is one of everything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from outtakes.shapes import Float

_ALIGNMENT = 16
"""Floats of a cache line."""


@dataclass(frozen=True)
class _Place:
    """Where a parameter lies in a row of the buffer."""

    start: int
    end: int
    shape: torch.Size


class FlatParameters:
    """Parameters of n policies of one shape, a row each, and their gradients beside them.

    Each policy goes on holding its parameters, which now are views of its row. Clipping the
    gradient and stepping the optimiser then are a few operations on one tensor, not on a hundred.

    Args:
        policies: n modules of one architecture.
        names: the parameters to take, as `named_parameters` calls them.
    """

    def __init__(self, policies: Sequence[nn.Module], names: Sequence[str]) -> None:
        own = [dict(policy.named_parameters()) for policy in policies]
        # Matrix products read fastest from aligned memory: what is a multiple comes first.
        names = sorted(names, key=lambda name: own[0][name].numel() % _ALIGNMENT > 0)
        self.places, size = {}, 0
        for name in names:
            shape = own[0][name].shape
            self.places[name] = _Place(size, size + shape.numel(), shape)
            size += shape.numel()
        self.values = own[0][names[0]].detach().new_zeros(len(policies), size)
        self.gradients = torch.zeros_like(self.values)
        for row, parameters in enumerate(own):
            for name, view in self.views(self.values[row : row + 1]).items():
                view.copy_(parameters[name].detach())
                parameters[name].data = view[0]

    def views(self, rows: Float[Tensor, "n size"]) -> dict[str, Tensor]:
        """A buffer like this one's, taken apart: name -> (n, ...)."""
        return {
            name: rows[:, place.start : place.end].unflatten(1, place.shape)
            if place.shape
            else rows[:, place.start]
            for name, place in self.places.items()
        }

    def stacked(self) -> dict[str, Tensor]:
        """Name -> (n, ...), sharing memory with the policies, to be differentiated by."""
        views = self.views(self.values.detach())
        return {name: view.requires_grad_() for name, view in views.items()}

    @torch.no_grad()
    def take_gradients(self, gradients: Mapping[str, Tensor | None]) -> None:
        """Lay the gradients, (n, ...) or of the one policy alone, into `gradients`."""
        rows, pieces = len(self.values), []
        for name, place in self.places.items():
            gradient = gradients[name]
            if gradient is None:
                gradient = self.values.new_zeros(rows, place.end - place.start)
            pieces.append(gradient.reshape(rows, -1))
        torch.cat(pieces, dim=1, out=self.gradients)


def clip_rows(gradients: Sequence[Tensor], limit: float) -> Float[Tensor, "n"]:
    """Scale each policy's gradient down to a norm of `limit` where it is above; its norm before.

    Args:
        gradients: (n, ...) each; a policy's norm is taken over its rows of all of them.
        limit: greatest norm.
    """
    norms = torch.stack([torch.linalg.vector_norm(g, dim=1) for g in gradients])
    norm = torch.linalg.vector_norm(norms, dim=0)
    factor = (limit / (norm + 1e-6)).clamp(max=1.0)
    for gradient in gradients:
        gradient.mul_(factor[:, None])
    return norm

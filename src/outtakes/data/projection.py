"""Principal components of features, with statistics that travel inside the checkpoint."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from outtakes.shapes import Float

FITTED_ON = 4_096
"""Rows that a projection is fitted on, at most: evenly spaced ones of those there are."""
_OVERSAMPLED, _ITERATIONS = 16, 4
"""Of the randomised decomposition (Halko et al. 2011, Sec. 1.6)."""
_AT_ONCE = 2_048
"""Rows projected at once: features may be many gigabytes, on disk."""
_FAINTEST = 1e-3
"""Components that vary less than this share of the first are noise, and not blown up beyond it."""


@dataclass(frozen=True)
class Projection:
    """The main components of features, whitened: each of mean 0 and deviation 1 over what it was
    fitted on."""

    mean: Float[Tensor, "F"]
    basis: Float[Tensor, "F K"]
    """Direction of each component divided by its deviation; 0 of those that do not exist."""

    @staticmethod
    def fit(rows: np.ndarray, components: int) -> Projection:
        """The main components of (n, F) features, the same whenever it is asked.

        Args:
            rows: n rows of F features, in memory.
            components: K.
        """
        values = torch.from_numpy(rows).float()
        mean = values.mean(dim=0)
        rank = min(components + _OVERSAMPLED, *values.shape)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            _, singular, directions = torch.svd_lowrank(values - mean, q=rank, niter=_ITERATIONS)
        deviation = singular / len(values) ** 0.5
        floor = max(float(deviation[0]) * _FAINTEST, torch.finfo(torch.float32).tiny)
        kept = min(components, rank)
        basis = values.new_zeros(values.shape[1], components)
        basis[:, :kept] = directions[:, :kept] / deviation[:kept].clamp(min=floor)
        return Projection(mean, basis)

    def to(self, device: torch.device | str) -> Projection:
        """The same projection on another device."""
        return Projection(self.mean.to(device), self.basis.to(device))

    def of(self, features: Float[Tensor, "*batch F"]) -> Float[Tensor, "*batch K"]:
        """Components of features."""
        return (features.float() - self.mean) @ self.basis

    def of_rows(self, features: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """(n, K) float32 components of these rows of an array on disk, a block at a time.

        Args:
            features: (R, ...) of F values a row.
            rows: (n,) which.
        """
        blocks = [rows[i : i + _AT_ONCE] for i in range(0, len(rows), _AT_ONCE)]
        found = (self.of(flat_rows(features, block)) for block in blocks)
        return torch.cat(list(found)).numpy()

    def tensors(self, name: str) -> dict[str, Tensor]:
        """Flat name -> tensor, for the checkpoint."""
        return {f"{name}.mean": self.mean, f"{name}.basis": self.basis}

    @staticmethod
    def from_tensors(tensors: dict[str, Tensor], name: str) -> Projection:
        """The inverse of `tensors`."""
        return Projection(tensors[f"{name}.mean"], tensors[f"{name}.basis"])


def flat_rows(features: np.ndarray, rows: np.ndarray) -> Tensor:
    """(n, F) of these rows of an (R, ...) array, which may be on disk."""
    return torch.from_numpy(np.asarray(features[rows])).flatten(1)


def spread(rows: np.ndarray, count: int = FITTED_ON) -> np.ndarray:
    """Evenly spaced ones of (n,) rows, at most so many."""
    places = np.linspace(0, len(rows) - 1, min(count, len(rows)))
    return rows[places.round().astype(np.int64)]

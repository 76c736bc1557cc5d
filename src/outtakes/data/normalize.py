"""Standardising states and actions, with statistics that travel inside the checkpoint."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from outtakes.data.demo import DemoSet

SMALLEST_DEVIATION = 1e-2
"""Dimensions that hardly move are not blown up beyond this many units."""


@dataclass(frozen=True)
class Moments:
    """Mean and standard deviation of one vector feature, each (D,) float32."""

    mean: Tensor
    deviation: Tensor

    @staticmethod
    def of(rows: np.ndarray) -> Moments:
        """Moments over the rows of an (R, D) array, computed in float64."""
        mean = rows.mean(axis=0, dtype=np.float64)
        deviation = rows.std(axis=0, dtype=np.float64)
        return Moments(
            torch.from_numpy(mean).float(),
            torch.from_numpy(np.maximum(deviation, SMALLEST_DEVIATION)).float(),
        )

    def to(self, device: torch.device | str) -> Moments:
        """The same moments on another device."""
        return Moments(self.mean.to(device), self.deviation.to(device))

    def standardise(self, values: Tensor) -> Tensor:
        """(..., D) in the feature's own units -> (..., D) of mean 0 and deviation 1."""
        return (values - self.mean) / self.deviation

    def restore(self, values: Tensor) -> Tensor:
        """The inverse of `standardise`."""
        return values * self.deviation + self.mean


@dataclass(frozen=True)
class Normalizer:
    """Moments of every vector feature of a dataset.

    Images need none: they are uint8 in the batch, and the backbone standardises them itself.
    """

    state: Moments
    environment_state: Moments
    action: Moments

    @staticmethod
    def of(demos: DemoSet) -> Normalizer:
        """Moments of these demonstrations."""
        rows = demos.rows()
        vectors = (demos.state, demos.environment_state, demos.action)
        return Normalizer(*(Moments.of(vector[rows]) for vector in vectors))

    def to(self, device: torch.device | str) -> Normalizer:
        """The same normaliser on another device."""
        return Normalizer(
            self.state.to(device), self.environment_state.to(device), self.action.to(device)
        )

    def tensors(self) -> dict[str, Tensor]:
        """Flat name -> tensor, for the checkpoint."""
        return {
            f"{feature}.{moment}": getattr(getattr(self, feature), moment)
            for feature in ("state", "environment_state", "action")
            for moment in ("mean", "deviation")
        }

    @staticmethod
    def from_tensors(tensors: dict[str, Tensor]) -> Normalizer:
        """The inverse of `tensors`."""
        return Normalizer(
            *(
                Moments(tensors[f"{feature}.mean"], tensors[f"{feature}.deviation"])
                for feature in ("state", "environment_state", "action")
            )
        )

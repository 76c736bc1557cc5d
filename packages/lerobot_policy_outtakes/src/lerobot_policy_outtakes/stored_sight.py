"""What a checkpoint of LeRobot keeps of frozen eyes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from outtakes.data.normalize import Moments
from outtakes.data.projection import Projection
from outtakes.policy.eyes.frozen import FrozenEyes
from outtakes.policy.eyes.sight import Sight


class StoredSight(nn.Module):
    """Frozen eyes as they were fitted; their network is found by its name and identity.

    Args:
        eyes: their settings.
        features: F, numbers that the projection of each camera is made from.
    """

    def __init__(self, eyes: FrozenEyes, features: int) -> None:
        super().__init__()
        self.eyes = eyes
        self.mean: Tensor
        self.basis: Tensor
        self.seen_mean: Tensor
        self.seen_deviation: Tensor
        cameras = len(eyes.cameras)
        self.register_buffer("mean", torch.zeros(cameras, features))
        self.register_buffer("basis", torch.zeros(cameras, features, eyes.components))
        self.register_buffer("seen_mean", torch.zeros(eyes.vector))
        self.register_buffer("seen_deviation", torch.ones(eyes.vector))

    def fill(self, sight: Sight, moments: Moments) -> None:
        """Keep these; the moments are of what stands in place of the environment state."""
        for i, camera in enumerate(self.eyes.cameras):
            self.mean[i], self.basis[i] = (
                sight.projections[camera].mean,
                sight.projections[camera].basis,
            )
        self.seen_mean, self.seen_deviation = moments.mean, moments.deviation

    @property
    def sight(self) -> Sight:
        """The eyes, as the core takes them."""
        kept = enumerate(self.eyes.cameras)
        return Sight(self.eyes, {c: Projection(self.mean[i], self.basis[i]) for i, c in kept})

    @property
    def moments(self) -> Moments:
        """Of what stands in place of the environment state."""
        return Moments(self.seen_mean, self.seen_deviation)

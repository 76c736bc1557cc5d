"""What a policy sees, and how large the vectors of a dataset are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from outtakes.shapes import Float, UInt8


@dataclass(frozen=True)
class Sizes:
    """What a dataset dictates to a policy."""

    demos: int
    """N, demonstrations trained on: rows of what a policy keeps for each."""
    state: int
    """S; 0 when there is none."""
    environment_state: int
    """E; 0 when there is none."""
    action: int
    """A."""
    map_channels: int = 0
    """C, of the maps of frozen eyes; 0 when there is none."""
    tasks: int = 0
    """K, tasks that the policy is told apart; 0 when there is one."""


@dataclass(frozen=True)
class Observation:
    """What the policy sees at one time step, standardised and on its device.

    In a batch of n policies every array has that n first.
    """

    state: Float[Tensor, "*n B S"]
    environment_state: Float[Tensor, "*n B E"]
    images: Mapping[str, UInt8[Tensor, "*n B height width 3"]]
    maps: Mapping[str, Float[Tensor, "*n B h w C"]] = field(default_factory=dict)
    """Camera -> what frozen eyes see in each cell of its image, whitened."""

    task: Float[Tensor, "*n B K"] | None = None
    """1 at the task that is to be done, 0 at the others; None when there is one."""

    def __len__(self) -> int:
        return len(self.state)

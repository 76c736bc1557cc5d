"""One episode as it was recorded, on its way into a dataset."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from outtakes.errors import DatasetError


@dataclass(frozen=True)
class Recording:
    """One recorded episode.

    Raises:
        DatasetError: when the features differ in length or there is no frame.
    """

    features: Mapping[str, np.ndarray]
    """LeRobot feature name -> (T, ...) array: float32 vectors (T, d), uint8 images
    (T, height, width, 3), and `next.success` (T,) bool."""
    task: str
    """The instruction in words."""
    metadata: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    """Facts about the episode for analysis alone; training never sees them."""

    def __post_init__(self) -> None:
        lengths = {name: len(array) for name, array in self.features.items()}
        if len(set(lengths.values())) != 1 or 0 in lengths.values():
            raise DatasetError(
                f"features of one recording have lengths {lengths}",
                remedy="record one value of every feature at every frame",
            )

    def __len__(self) -> int:
        return len(next(iter(self.features.values())))

    @property
    def success(self) -> bool:
        """Whether the environment's own check held at any step."""
        return bool(np.any(self.features["next.success"]))

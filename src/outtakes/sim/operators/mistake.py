"""What goes wrong in a scripted episode of the tasks other than Lift."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from outtakes.errors import ConfigError, UnknownName

_UNITS = {"slip": "control steps", "half_pressed": "rad"}


@dataclass(frozen=True)
class Lapse:
    """One mistake, of a kind that the task knows.

    Raises:
        ConfigError: when the size is negative, or larger than the largest.
    """

    kind: str
    size: float
    """How wrong; 0 is no mistake at all."""
    largest: float
    """Gross enough to fail nearly always, or as often as the kind can."""
    unit: str = "m"
    direction: float = 0.0
    """rad in the table's plane, of kinds that have one."""

    def __post_init__(self) -> None:
        if not 0 <= self.size <= self.largest:
            raise ConfigError(
                f"{self.kind} of size {self.size}",
                remedy=f"give a size of 0 to {self.largest} {self.unit}",
            )

    @property
    def share(self) -> float:
        """Size as a share of the largest of its kind, in [0, 1]."""
        return self.size / self.largest

    @property
    def offset(self) -> np.ndarray:
        """The size along the direction, (2,) in the table's plane."""
        return self.size * np.array([np.cos(self.direction), np.sin(self.direction)])


def make_lapse(
    largest: Mapping[str, float], kind: str, share: float, direction: float = 0.0
) -> Lapse:
    """A mistake by its kind and its share of the largest.

    Args:
        largest: kind -> largest size, in m; in control steps for "slip", in rad for
            "half_pressed".
        kind: one of them.
        share: in [0, 1].
        direction: rad.

    Raises:
        UnknownName: when the task knows no such kind.
        ConfigError: when the share is not in [0, 1].
    """
    if kind not in largest:
        raise UnknownName("mistake", kind, largest)
    unit = _UNITS.get(kind, "m")
    return Lapse(kind, share * largest[kind], largest[kind], unit, direction)


def draw_lapse(rng: np.random.Generator, largest: Mapping[str, float]) -> Lapse:
    """Any kind, each as often, of any size up to its largest."""
    kind = list(largest)[rng.integers(len(largest))]
    return make_lapse(largest, kind, rng.uniform(), direction=float(rng.uniform(0.0, 2 * np.pi)))

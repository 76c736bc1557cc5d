"""What goes wrong in a scripted episode: a mistake of some kind, from trivial to gross.

Which kinds there are, and what a size means, is for each operator or task to say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from outtakes.errors import ConfigError, UnknownName


@dataclass(frozen=True)
class MistakeKind:
    """One way in which an operator can go wrong."""

    largest: float
    """Size that is gross enough to fail nearly always, or as often as the kind can."""
    unit: str = "m"
    """Of the size."""
    frequency: float = 1.0
    """How often it is drawn, in proportion to the other kinds."""


type MistakeKinds = Mapping[str, MistakeKind]
"""The kinds that an operator knows, by name."""


@dataclass(frozen=True)
class Mistake:
    """What an operator set out to get wrong.

    Raises:
        ConfigError: when the size is negative, or larger than the largest.
    """

    kind: str
    """For example "off_centre"."""
    size: float
    """How wrong, in `unit`; 0 is no mistake at all."""
    largest: float
    """Largest size of its kind."""
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


def make_mistake(kinds: MistakeKinds, kind: str, share: float, direction: float = 0.0) -> Mistake:
    """A mistake by its kind and its share of the largest.

    Args:
        kinds: those that the operator knows.
        kind: one of them.
        share: in [0, 1].
        direction: rad.

    Raises:
        UnknownName: when the operator knows no such kind.
        ConfigError: when the share is not in [0, 1].
    """
    if kind not in kinds:
        raise UnknownName("mistake", kind, kinds)
    largest, unit = kinds[kind].largest, kinds[kind].unit
    return Mistake(kind, share * largest, largest, unit, direction)


def draw_mistake(rng: np.random.Generator, kinds: MistakeKinds) -> Mistake:
    """A mistake of any kind, as often as the kind's frequency says, and of any size."""
    frequencies = np.array([kind.frequency for kind in kinds.values()])
    # One integer of the generator for equal frequencies, one float for others: what a seed once
    # gave it goes on to give.
    alike = (frequencies == frequencies[0]).all()
    kind = list(kinds)[rng.choice(len(kinds), p=None if alike else frequencies / frequencies.sum())]
    return make_mistake(kinds, kind, rng.uniform(), direction=float(rng.uniform(0.0, 2 * np.pi)))


def size_of(mistake: Mistake | None, kind: str) -> float:
    """The size of a mistake of this kind; 0 of any other, or of none."""
    return mistake.size if mistake is not None and mistake.kind == kind else 0.0


def offset_of(mistake: Mistake | None, kind: str) -> np.ndarray:
    """The offset, (3,) in the table's plane, of a mistake of this kind; none of any other."""
    if mistake is None or mistake.kind != kind:
        return np.zeros(3)
    return np.array([*mistake.offset, 0.0])

"""Who demonstrates, and what goes wrong: the facts behind one scripted episode."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np

from outtakes.errors import ConfigError, UnknownName

MistakeKind = Literal["off_centre", "too_high", "push", "slip", "give_up"]
MISTAKE_KINDS: tuple[MistakeKind, ...] = get_args(MistakeKind)

# Gross enough to fail nearly always, or as often as that kind can.
_LARGEST: Mapping[MistakeKind, float] = {
    "off_centre": 0.055,
    "too_high": 0.055,
    "push": 0.12,
    "slip": 16.0,
    "give_up": 0.06,
}
# Giving up fails more surely than the rest, so it is drawn less often.
_FREQUENCIES: Mapping[MistakeKind, float] = {
    "off_centre": 0.2,
    "too_high": 0.2,
    "push": 0.25,
    "slip": 0.25,
    "give_up": 0.1,
}


@dataclass(frozen=True)
class Mistake:
    """What goes wrong in an episode."""

    kind: MistakeKind
    size: float
    """How wrong; 0 is no mistake at all. By kind:

    - off_centre: m between where the fingers close and the centre of the cube.
    - too_high: m above the right height where they close.
    - push: m of horizontal distance at which the hand comes down, to shove on to where the cube
      was.
    - slip: control steps for which the fingers open during the lift; some 6 let the cube go.
    - give_up: m of way still to go, of reach and lift, when the operator stops.
    """
    direction: float = 0.0
    """rad in the table's plane, of the offset of off_centre."""

    def __post_init__(self) -> None:
        if self.kind not in MISTAKE_KINDS:
            raise UnknownName("mistake", self.kind, MISTAKE_KINDS)
        if not self.size >= 0:
            raise ConfigError(f"mistake of size {self.size}", remedy="give a size of 0 or more")

    @property
    def share(self) -> float:
        """Size as a share of the largest of its kind, in [0, 1] when drawn."""
        return self.size / _LARGEST[self.kind]

    @property
    def unit(self) -> str:
        """Unit of the size."""
        return "control steps" if self.kind == "slip" else "m"

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Mistake:
        """Any kind, any size up to a gross one."""
        frequencies = [_FREQUENCIES[kind] for kind in MISTAKE_KINDS]
        kind = MISTAKE_KINDS[rng.choice(len(MISTAKE_KINDS), p=frequencies)]
        size = float(rng.uniform(0.0, _LARGEST[kind]))
        return cls(kind, size, direction=float(rng.uniform(0.0, 2 * np.pi)))


@dataclass(frozen=True)
class Personality:
    """How one demonstration is carried out."""

    pace: float = 0.8
    """Largest translation command, in units of the action; 1 is about 0.3 m/s."""
    lift_pace: float = 0.3
    """The same for the lift."""
    smoothness: float = 0.5
    """Share of the previous command that is kept each step."""
    tremor: float = 0.0
    """Standard deviation of the hand's noise, in units of the action."""
    tremor_memory: float = 0.85
    """Correlation of the hand's noise from one step to the next."""
    misjudgement: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """m by which the cube is thought to be elsewhere."""
    hover: float = 0.06
    """m above the cube from where the hand goes straight down."""
    overshoot: float = 0.0
    """m by which the hand first passes the cube."""
    care: float = 0.010
    """m of horizontal error accepted before going down."""
    hesitation: int = 0
    """Control steps of pause above the cube."""
    squeeze: int = 7
    """Control steps between the command to close and the lift."""

    def __post_init__(self) -> None:
        for name in ("pace", "lift_pace"):
            if not 0 < getattr(self, name) <= 1:
                raise ConfigError(f"{name} {getattr(self, name)}", remedy="give it in (0, 1]")
        for name in ("smoothness", "tremor_memory"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"{name} {getattr(self, name)}", remedy="give it in [0, 1)")

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Personality:
        """A person at random."""
        sideways, forward = rng.normal(0.0, 0.007, 2)
        return cls(
            pace=rng.uniform(0.55, 0.9),
            lift_pace=rng.uniform(0.15, 0.4),
            smoothness=rng.uniform(0.3, 0.6),
            tremor=rng.uniform(0.03, 0.12),
            tremor_memory=rng.uniform(0.7, 0.9),
            misjudgement=(sideways, forward, rng.normal(0.001, 0.002)),
            hover=rng.uniform(0.04, 0.09),
            overshoot=max(0.0, rng.normal(0.0, 0.02)),
            care=rng.uniform(0.006, 0.014),
            hesitation=int(rng.integers(1, 8)) if rng.random() < 0.3 else 0,
            squeeze=int(rng.integers(5, 10)),
        )

    def calmer(self, share: float) -> Personality:
        """The same person with this share of the tremor and the misjudgement."""
        sideways, forward, up = (share * offset for offset in self.misjudgement)
        return replace(self, tremor=share * self.tremor, misjudgement=(sideways, forward, up))

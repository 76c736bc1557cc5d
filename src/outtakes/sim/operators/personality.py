"""Who demonstrates: the habits behind one scripted episode."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from outtakes.errors import ConfigError


@dataclass(frozen=True)
class Personality:
    """How one demonstration is carried out; an operator heeds what its way of working has.

    Raises:
        ConfigError: when a number is out of range.
    """

    pace: float = 0.8
    """Largest translation command, in units of the action; 1 is about 0.3 m/s of the Panda arm. Of
    a policy's commands, the share that is carried out."""
    lift_pace: float = 0.3
    """The same for the lift."""
    smoothness: float = 0.5
    """Share of the previous command that is kept each step."""
    tremor: float = 0.0
    """Standard deviation of the hand's noise, in units of the action."""
    tremor_memory: float = 0.85
    """Correlation of the hand's noise from one step to the next."""
    misjudgement: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """m by which things are thought to be elsewhere."""
    hover: float = 0.06
    """m above the object from where the hand goes straight down."""
    overshoot: float = 0.0
    """m by which the hand first passes the object."""
    care: float = 0.010
    """m of horizontal error accepted before going down."""
    hesitation: int = 0
    """Control steps of pause, above the object or at `hesitates_at`."""
    squeeze: int = 7
    """Control steps between the command to close and the lift."""
    hesitates_at: int = 0
    """Control step at which a pause begins that belongs to no place."""
    slips_after: int = 10
    """Control steps from the first closing of the fingers to a slip, if there is to be one."""
    patience: int = 60
    """Control steps without progress after which the operator lets go."""

    def __post_init__(self) -> None:
        for name in ("pace", "lift_pace"):
            if not 0 < getattr(self, name) <= 1:
                raise ConfigError(f"{name} {getattr(self, name)}", remedy="give it in (0, 1]")
        for name in ("smoothness", "tremor_memory"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"{name} {getattr(self, name)}", remedy="give it in [0, 1)")

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Personality:
        """A person at random who takes things with the Panda arm."""
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

"""What a person who demonstrates wishes: the task, the device, how many takes and how long."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from outtakes.errors import ConfigError
from outtakes.sim.person.takes import Take


@dataclass(frozen=True)
class PersonConfig:
    """How a person collects.

    Raises:
        ConfigError: when a number is out of range.
    """

    environment: str = "lift"
    """Name of the simulated task."""
    operator: str = "keyboard"
    """The device: one of `devices.DEVICES`."""
    takes: int | None = None
    """Takes to keep; as many as the person likes when None."""
    seconds: int = 30
    """Longest take."""
    speed: float = 0.4
    """Fastest translation that the device asks for, as a share of the fastest there is."""
    seed: int = 0
    """Take i starts where attempt i of the scripted operator starts, given this seed."""
    cameras: tuple[str, ...] = ("overhead",)
    """Cameras to record; none for the low-dimensional observation alone."""
    image_size: int = 96
    """Height and width of the recorded images, pixels."""

    def __post_init__(self) -> None:
        if self.takes is not None and self.takes < 1:
            raise ConfigError(f"{self.takes} takes", remedy="ask for at least one")
        if self.seconds < 1:
            raise ConfigError(f"takes of {self.seconds} s", remedy="give at least 1 second")
        if self.seed < 0:
            raise ConfigError(f"seed {self.seed}", remedy="give a seed of 0 or more")
        if self.image_size < 1:
            raise ConfigError(f"image size {self.image_size}", remedy="give at least 1 pixel")

    def satisfied(self, takes: Sequence[Take]) -> bool:
        """Whether these are as many as were asked for."""
        return self.takes is not None and len(takes) >= self.takes

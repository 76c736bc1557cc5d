"""What the user says about the data to import."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from outtakes.data.lerobot.features import SMALLEST_IMAGE
from outtakes.errors import ConfigError


@dataclass(frozen=True)
class ImportOptions:
    """Settings of one import; None leaves a choice to the documented rule.

    Raises:
        ConfigError: when a value cannot work.
    """

    fps: int | None = None
    """Frames a second; what the source says when None."""
    task: str | None = None
    """The instruction in words; made of the source's name for the task when None."""
    state: tuple[str, ...] | None = None
    """Observations joined into `observation.state`."""
    environment_state: tuple[str, ...] | None = None
    """Observations joined into `observation.environment_state`."""
    cameras: tuple[str, ...] | None = None
    """Stored cameras to import; all when None."""
    render: tuple[str, ...] = ()
    """Cameras of the simulated scene to render from stored simulator states."""
    image_size: int = 84
    """Side of rendered images, pixels."""
    outcome: Literal["success", "failure"] | None = None
    """How every demonstration ended."""
    labels: Path | None = None
    """JSON file in which a person labels demonstrations by their number."""
    success_mask: str | None = None
    """Filter key that lists the successes."""
    failure_mask: str | None = None
    """Filter key that lists the failures."""
    reward_threshold: float = 1.0
    """Least reward of a frame at which the task is solved."""

    def __post_init__(self) -> None:
        if self.fps is not None and self.fps < 1:
            raise ConfigError(f"--fps {self.fps}", remedy="give at least 1 frame a second")
        if self.image_size < SMALLEST_IMAGE:
            raise ConfigError(
                f"--image-size {self.image_size}", remedy=f"give at least {SMALLEST_IMAGE} pixels"
            )
        if self.labels is not None and not self.labels.is_file():
            raise ConfigError("no such label file", where=self.labels, remedy="check --labels")

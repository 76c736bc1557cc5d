"""Demonstrations by a person, as a dataset: takes first, their images once they are all there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from outtakes.data.lerobot import check_free, write_dataset
from outtakes.data.recording import Recording
from outtakes.errors import ConfigError
from outtakes.sim.collect import check_cameras, film
from outtakes.sim.environment import Environment, make_environment
from outtakes.sim.takes import Take, open_takes

Say = Callable[[str], None]
Progress = Callable[[int, int, str], None]
"""Called with (done, total, what)."""


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


@dataclass(frozen=True)
class Session:
    """What there is once a person has stopped."""

    takes: tuple[Take, ...]
    """All kept so far, those of earlier sessions included."""
    folder: Path
    """Where they are, unless the dataset was written."""
    written: bool
    """Whether the dataset was written: as many were kept as were asked for."""

    @property
    def successes(self) -> int:
        """Takes in which the task was solved."""
        return sum(take.attempt.success for take in self.takes)

    @property
    def steps(self) -> int:
        """Control steps of all takes."""
        return sum(len(take.attempt.features["action"]) for take in self.takes)

    @property
    def late_steps(self) -> int:
        """Those of them that began late."""
        return sum(take.late_steps for take in self.takes)


def collect_by_person(config: PersonConfig, root: Path, *, say: Say, progress: Progress) -> Session:
    """Let a person demonstrate, then write the dataset; goes on from takes that are there already.

    Args:
        config: how.
        root: folder of the new LeRobot dataset; must not exist or be empty.
        say: told what happens, in words.
        progress: told of every episode whose images are rendered.

    Raises:
        ConfigError: when the person stopped without a single take.
        MachineError: when the display or the device is missing, or the disk is full.
        DatasetError: when `root` is taken, or unfinished takes of something else are beside it.
        UnknownName: when the environment or a camera does not exist.
    """
    check_free(root)
    environment = make_environment(config.environment)
    check_cameras(config.cameras, environment)
    folder = open_takes(root, {"environment": config.environment, "seed": config.seed})
    takes = folder.load()
    if not config.satisfied(takes):
        # Imports pynput, which looks for a display.
        from outtakes.sim.teleoperation import teleoperate

        teleoperate(config, environment, takes, keep=folder.keep, say=say)
    if not takes:
        raise ConfigError("no take was kept", remedy="end one with Enter to keep it")
    if config.takes is not None and not config.satisfied(takes):
        return Session(tuple(takes), folder.folder, written=False)
    recordings = _recordings(config, environment, takes, progress)
    write_dataset(root, recordings, fps=environment.fps)
    folder.remove()
    return Session(tuple(takes), folder.folder, written=True)


def _recordings(
    config: PersonConfig, environment: Environment, takes: list[Take], progress: Progress
) -> Iterator[Recording]:
    for done, take in enumerate(takes, start=1):
        features = take.attempt.features
        images = film(environment, take.attempt, config.cameras, config.image_size)
        progress(done, len(takes), "render")
        yield Recording(
            features={**features, **images},
            task=environment.task,
            metadata={**take.facts, "seed": config.seed, **environment.describe(features)},
        )

"""Demonstrations by a person, as a dataset: takes first, their images once they are all there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from outtakes.data.lerobot.write import check_free, write_dataset
from outtakes.data.recording import Recording
from outtakes.errors import ConfigError
from outtakes.progress import Progress
from outtakes.sim.collect import check_cameras, film
from outtakes.sim.environment import Environment, make_environment
from outtakes.sim.person.preferences import PersonConfig
from outtakes.sim.person.takes import Take, open_takes

Say = Callable[[str], None]
"""Called with (done, total, what)."""


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
        from outtakes.sim.person.teleoperation import teleoperate

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

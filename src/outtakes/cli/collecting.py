"""Verbs that make demonstrations: collect."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from outtakes.cli.verb import Verb, check_writable, given
from outtakes.console import Console
from outtakes.errors import ConfigError

if TYPE_CHECKING:
    from outtakes.sim.collect import CollectConfig
    from outtakes.sim.person.session import Session


@dataclass
class Collect(Verb):
    """Collect demonstrations in simulation, by a scripted operator or by you."""

    needs = ("lerobot", "mujoco", "pyarrow")

    environment: Annotated[Positional[str], arg(metavar="TASK")]
    """The task, for example lift."""
    out: Path
    """Folder of the new LeRobot dataset."""
    operator: Literal["scripted", "keyboard", "spacemouse"] = "scripted"
    """Who demonstrates: a scripted operator, or you with a device, in a live window."""
    successes: int | None = None
    """Successful demonstrations to keep, scripted; the recipe's when not given."""
    failures: int | None = None
    """Failed demonstrations to keep, scripted; the recipe's when not given."""
    takes: int | None = None
    """Takes to keep, yours, however they end; as many as you like when not given."""
    cameras: tuple[str, ...] | None = None
    """Cameras to record, for example overhead wrist; the recipe's when not given."""
    image_size: int | None = None
    """Pixels on a side of the square images; the recipe's when not given."""
    seconds: int = 30
    """Longest of your takes."""
    speed: float = 0.4
    """Of the gripper under your device, as a share of the fastest."""
    seed: int = 0
    """Of everything random; the same seed gives the same dataset, or you the same starts."""

    def run(self, console: Console) -> None:
        """Collect and say where."""
        self._check()
        check_writable(self.out.absolute().parent)
        config = self.settings().collect
        config = replace(
            config,
            environment=self.environment,
            seed=self.seed,
            cameras=config.cameras if self.cameras is None else self.cameras,
            image_size=given(self.image_size, config.image_size),
        )
        if self.operator == "scripted":
            self._collect_scripted(config, console)
        else:
            self._collect_by_person(config, console)

    def _check(self) -> None:
        scripted = self.operator == "scripted"
        if scripted and self.takes is not None:
            raise ConfigError(
                "--takes without a person", remedy="use --successes and --failures, or --operator"
            )
        if not scripted and (self.successes, self.failures) != (None, None):
            raise ConfigError(
                f"--successes or --failures with --operator {self.operator}",
                remedy="use --takes: you keep what happens",
            )

    def _collect_scripted(self, config: CollectConfig, console: Console) -> None:
        from outtakes import api

        config = replace(
            config,
            successes=given(self.successes, config.successes),
            failures=given(self.failures, config.failures),
        )
        settings = replace(self.settings(), collect=config)
        api.collect(self.out, recipe=settings, progress=console.progress)
        console.result(f"Dataset: {self.out.resolve()}", {"dataset": str(self.out.resolve())})

    def _collect_by_person(self, config: CollectConfig, console: Console) -> None:
        from outtakes.sim.person.preferences import PersonConfig
        from outtakes.sim.person.session import collect_by_person

        person = PersonConfig(
            environment=self.environment,
            operator=self.operator,
            takes=self.takes,
            seconds=self.seconds,
            speed=self.speed,
            seed=self.seed,
            cameras=config.cameras,
            image_size=config.image_size,
        )
        session = collect_by_person(person, self.out, say=console.note, progress=console.progress)
        where = f"Dataset: {self.out.resolve()}"
        if not session.written:
            where = (
                f"Takes: {session.folder}\nThe same command goes on; "
                f"with --takes {len(session.takes)} it makes the dataset of these."
            )
        console.result(f"{_counted(session)}\n{where}", self._content(session))

    def _content(self, session: Session) -> dict[str, object]:
        """What a program is told."""
        return {
            "dataset": str(self.out.resolve()) if session.written else None,
            "takes": None if session.written else str(session.folder),
            "successes": session.successes,
            "failures": len(session.takes) - session.successes,
            "steps": session.steps,
            "late_steps": session.late_steps,
        }


def _counted(session: Session) -> str:
    failures = len(session.takes) - session.successes
    return (
        f"Takes: {session.successes} succeeded, {failures} failed; "
        f"{session.late_steps} of {session.steps} control steps began late"
    )

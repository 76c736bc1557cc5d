"""What all verbs of the command line share."""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from outtakes.console import Console
from outtakes.errors import ArtifactError, ConfigError

if TYPE_CHECKING:
    from outtakes.api import Lab, Recipe
    from outtakes.selection.select import Selection


@dataclass(kw_only=True)
class Verb:
    """What every verb takes."""

    needs: ClassVar[tuple[str, ...]] = ()
    """Packages, beyond those of the base install, without which the verb cannot work."""

    recipe: str = "quick"
    """Named settings, smoke, brisk, quick or paper. For data of your own: quick, the default, about
    10 to 15 minutes on two cores without cameras; brisk, a third of that, for a first look; smoke,
    about a minute, to see that it runs: its numbers mean nothing; paper, the paper's own settings,
    days on a GPU."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where to compute; auto takes CUDA where there is one, mps is Apple's GPU."""
    json: bool = False
    """Print one JSON object on standard output and nothing else there."""

    def run(self, console: Console) -> None:
        """The verb's work; it tells the console what it came to."""
        raise SystemExit(f"{type(self).__name__} does nothing")

    def settings(self) -> Recipe:
        """The recipe that was named."""
        from outtakes import api

        return api.recipe(self.recipe)

    def lab(self, recipe: Recipe, out: Path, console: Console, *, task: str | None = None) -> Lab:
        """An experiment in a folder that can be written to."""
        from outtakes import api

        check_writable(out)
        return api.laboratory(
            out, recipe=recipe, task=task, device=self.device, progress=console.progress
        )


@dataclass(kw_only=True)
class Overrides(Verb):
    """Settings of the recipe worth changing from the command line."""

    seeds: tuple[int, ...] | None = None
    """Training seeds; the recipe's when not given."""
    steps: int | None = None
    """Optimiser steps of each run."""
    schedule: Literal["constant", "cosine"] | None = None
    """Learning rate after the warm-up: as it is, or falling to 0 at the last step."""
    ema: float | None = None
    """Act by an exponential moving average of the weights of this decay, which stands in for a rate
    that falls; 0 for the weights as they are."""
    chunk: int | None = None
    """Action steps predicted at once."""

    def settings(self) -> Recipe:
        """The recipe with these changes."""
        chosen = super().settings()
        if self.seeds is not None:
            chosen = replace(chosen, seeds=self.seeds)
        changes = {"steps": self.steps, "schedule": self.schedule, "ema": self.ema}
        given = {name: value for name, value in changes.items() if value is not None}
        chosen = replace(chosen, train=replace(chosen.train, **given))
        if self.steps is not None:
            warmup = min(chosen.train.warmup, self.steps // 10)
            chosen = replace(chosen, train=replace(chosen.train, warmup=warmup))
        if self.chunk is not None:
            replan = min(chosen.controller.replan, self.chunk)
            chosen = replace(
                chosen,
                policy=replace(chosen.policy, chunk=self.chunk),
                controller=replace(chosen.controller, replan=replan),
            )
        return chosen


def check_writable(folder: Path) -> None:
    """Refuse a folder that cannot be written to, or made, before hours of work go into it."""
    from outtakes.files import unwritable

    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise unwritable(folder, error) from error


def episode_list(selection: Selection, file: Path, dataset: Path) -> tuple[str, str | None]:
    """The kept episodes as LeRobot takes them; where it would take other ones for them, the
    command that makes a dataset of them, and None.

    Args:
        selection: what is kept.
        file: where it was saved.
        dataset: folder of the dataset; one that is gone is taken for LeRobot's own.
    """
    from outtakes.data.lerobot.episode_list import unlike_lerobot
    from outtakes.data.lerobot.location import find_layout
    from outtakes.errors import DatasetError

    try:
        unlike = unlike_lerobot(find_layout(dataset))
    except DatasetError:
        unlike = None
    if unlike is None:
        argument = selection.as_lerobot_argument()
        return argument, argument
    words = ["outtakes", "export", str(dataset), "--select", str(file)]
    command = shlex.join([*words, "--out", str(file.with_name(f"{file.stem}-export"))])
    kept = ",".join(map(str, selection.kept))
    return f"Kept: {kept}\nLeRobot cannot be told so: {unlike}. Copy them with:\n{command}", None


def check_exists(file: Path | None) -> None:
    """Refuse a file that is not there before a dataset is read for its sake."""
    if file is not None and not file.is_file():
        raise ArtifactError("no such file", where=file, remedy="check the path")


def given(value: int | None, default: int) -> int:
    """What the user gave, else the recipe's."""
    return default if value is None else value


def check_given(paths: Sequence[Path | str], what: str) -> None:
    """Refuse an empty list of these."""
    if not paths:
        raise ConfigError(f"no {what}", remedy=f"give at least one {what}")

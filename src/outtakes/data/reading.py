"""How a dataset is to be read: what the user chose in place of what is chosen by itself."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from outtakes.data.outcomes import Source
from outtakes.errors import ConfigError


@dataclass(frozen=True)
class Reading:
    """What to read of a dataset, and where its outcomes are.

    Raises:
        ConfigError: on an image size below 1.
    """

    cameras: Sequence[str] | None = None
    """Which cameras, without "observation.images."; all when None, none when empty."""
    image_size: int | None = None
    """Side in pixels of the square that images are averaged down to; as stored when None, and
    then each camera must keep one size."""
    state: bool = True
    """Whether to read `observation.state`."""
    environment_state: bool = True
    """Whether to read `observation.environment_state`."""
    outcome_from: str | None = None
    """The one source of outcomes, see `outtakes.data.outcomes`; all by precedence when None."""
    labels: Path | None = None
    """A label file in place of those in the dataset's folder; text becomes a path."""
    skip_bad: bool = False
    """Whether to leave corrupt episodes out instead of refusing the dataset."""
    one_task: bool = False
    """Whether to take all episodes for one task, whatever their instructions say."""

    def __post_init__(self) -> None:
        if self.labels is not None:
            object.__setattr__(self, "labels", Path(self.labels))
        if self.image_size is not None and self.image_size < 1:
            raise ConfigError(f"image size {self.image_size}", remedy="choose at least 1 pixel")

    @property
    def source(self) -> Source | None:
        """The one source of outcomes, if it is named."""
        return None if self.outcome_from is None else Source.parse(self.outcome_from)

    def choices(self, cameras: Sequence[str]) -> dict[str, Any]:
        """What shapes the rows that are read, as JSON.

        Choices left alone are left out, so that a new one leaves what was read before as it was.
        `skip_bad` is never in: what it leaves out is told by the files. Nor is `one_task`, which
        changes nothing of what is decoded.
        """
        chosen = {
            "state": None if self.state else False,
            "environment_state": None if self.environment_state else False,
            "outcome_from": self.outcome_from,
        }
        choices = {name: value for name, value in chosen.items() if value is not None}
        return {"cameras": list(cameras), "image_size": self.image_size, **choices}

    def flags(self) -> str:
        """The command line flags that ask for this; the image size is the recipe's."""
        words: list[str] = []
        if self.cameras is not None:
            words += ["--cameras", *self.cameras]
        words += [
            flag
            for flag, given in (
                ("--no-state", not self.state),
                ("--no-environment-state", not self.environment_state),
                ("--skip-bad", self.skip_bad),
                ("--one-task", self.one_task),
            )
            if given
        ]
        if self.outcome_from is not None:
            words += ["--outcome-from", self.outcome_from]
        if self.labels is not None:
            words += ["--labels", str(self.labels)]
        return shlex.join(words)

    def as_json(self) -> dict[str, Any]:
        """The same for a JSON file, but for the image size, which is the recipe's."""
        facts = {field.name: getattr(self, field.name) for field in fields(self)}
        del facts["image_size"]
        facts["cameras"] = None if self.cameras is None else list(self.cameras)
        facts["labels"] = None if self.labels is None else str(self.labels)
        return facts

    @staticmethod
    def from_json(facts: Mapping[str, Any], image_size: int) -> Reading:
        """The inverse of `as_json`."""
        labels = facts.get("labels")
        return Reading(
            **{**facts, "labels": None if labels is None else Path(labels)}, image_size=image_size
        )

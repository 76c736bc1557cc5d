"""Paths of a dataset's files: by the templates of others, and by LeRobot's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from outtakes.data.lerobot.faults import RESTORE
from outtakes.errors import DatasetError

FOLDER = 1000
"""Files in a folder of a dataset that is written here."""
TEMPLATE = "{folder}/chunk-{{chunk_index:03d}}/file-{{file_index:03d}}.{suffix}"
"""Template of LeRobot's templates."""


def numbered(folder: str, number: int, suffix: str) -> str:
    """LeRobot's path of one file, by its number."""
    return f"{folder}/chunk-{number // FOLDER:03d}/file-{number % FOLDER:03d}.{suffix}"


@dataclass(frozen=True)
class Template:
    """A path template of info.json, never trusted to stay inside the dataset."""

    root: Path
    text: str
    name: str

    def fill_all(self, column: Mapping[str, list], prefix: str, **extra: str) -> list[str]:
        """The path of each episode's file."""
        pairs = zip(column[f"{prefix}/chunk_index"], column[f"{prefix}/file_index"], strict=True)
        return [self.fill(chunk_index=chunk, file_index=file, **extra) for chunk, file in pairs]

    def fill(self, **values: Any) -> str:
        """The path of one file."""
        try:
            path = self.text.format(**values)
        except (LookupError, ValueError, AttributeError, TypeError) as error:
            raise DatasetError(
                f"{self.name} {self.text!r} cannot be filled in ({error!r})",
                where=self.root / "meta" / "info.json",
                remedy=RESTORE,
            ) from error
        parts = PurePosixPath(path.replace("\\", "/"))
        if parts.is_absolute() or ".." in parts.parts or ":" in path:
            raise DatasetError(
                f"{self.name} leads out of the dataset's folder: {path}",
                where=self.root / "meta" / "info.json",
                remedy="use a dataset from a source you trust",
            )
        return path

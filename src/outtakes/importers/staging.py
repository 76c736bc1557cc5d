"""Where an import stands: finished parts in a folder beside the dataset to come.

A part is a few demonstrations. Its folder holds a dataset of them, unless all were skipped, and
`part.json`, which is written last: a part without it was interrupted and is made again.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from outtakes.data.demo import Outcome
from outtakes.errors import ArtifactError, DatasetError
from outtakes.files import read_json, unwritable, write_json
from outtakes.importers.manifest import Imported, Skipped

_VERSION = 1
_REQUEST = "request.json"


@dataclass(frozen=True)
class Part:
    """Some demonstrations of an import, on disk."""

    folder: Path

    @property
    def dataset(self) -> Path:
        """Folder of its dataset."""
        return self.folder / "dataset"

    @property
    def finished(self) -> bool:
        """Whether it is whole."""
        return (self.folder / "part.json").exists()

    def clear(self) -> None:
        """Remove what an interrupted attempt left."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def finish(self, imported: list[Imported], skipped: list[Skipped]) -> None:
        """Declare it whole."""
        content = {
            "imported": [asdict(entry) for entry in imported],
            "skipped": [asdict(entry) for entry in skipped],
        }
        write_json(self.folder / "part.json", "import part", _VERSION, content)

    def entries(self) -> tuple[list[Imported], list[Skipped]]:
        """What became of its demonstrations.

        Raises:
            ArtifactError: when its file is damaged.
        """
        content = read_json(self.folder / "part.json", "import part", _VERSION)
        imported = [
            Imported(**{**entry, "outcome": Outcome(entry["outcome"])})
            for entry in content["imported"]
        ]
        return imported, [Skipped(**entry) for entry in content["skipped"]]


@dataclass(frozen=True)
class Staging:
    """The parts of one import."""

    folder: Path

    def part(self, number: int) -> Part:
        """One part, made or not."""
        return Part(self.folder / f"part-{number:05d}")

    @property
    def whole(self) -> Path:
        """Where the parts are joined."""
        return self.folder / "whole"

    def remove(self) -> None:
        """Once the dataset is in its place."""
        # Without its request, what an interruption leaves of the folder is not gone on from.
        (self.folder / _REQUEST).unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)


def open_staging(root: Path, request: Mapping[str, Any]) -> Staging:
    """The staging folder of the dataset `root`, new or as an interrupted import left it.

    Args:
        root: folder of the dataset to come.
        request: what determines the result: source and settings, as JSON.

    Raises:
        DatasetError: when an unfinished import of something else is there.
        MachineError: when it cannot be written.
    """
    folder = root.absolute().with_name(f".{root.absolute().name}.import")
    file = folder / _REQUEST
    if not file.exists():
        shutil.rmtree(folder, ignore_errors=True)
        write_json(file, "import request", _VERSION, request)
    elif _read_request(file) != dict(request):
        raise DatasetError(
            "an unfinished import of other data or with other settings",
            where=folder,
            remedy="repeat that import, delete the folder, or choose another --out",
        )
    return Staging(folder)


def _read_request(file: Path) -> dict[str, Any]:
    try:
        content = read_json(file, "import request", _VERSION)
    except ArtifactError:
        return {}
    return {name: value for name, value in content.items() if name not in ("kind", "version")}


def put_in_place(draft: Path, root: Path) -> None:
    """Rename a finished dataset.

    Raises:
        MachineError: when the place cannot be written.
    """
    try:
        draft.rename(root)
    except OSError as error:
        raise unwritable(root, error) from error

"""Facts about recordings that training never sees, kept inside a dataset beside LeRobot's own."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from outtakes.errors import DatasetError

RECORDINGS = "meta/recordings.jsonl"
"""Where the metadata of recordings is kept inside a dataset, one JSON object an episode."""


def write_metadata(path: Path, metadata: Sequence[Mapping[str, Any]]) -> None:
    """Write what `read_metadata` reads; each entry has its `episode_index`."""
    lines = [json.dumps(entry, default=lambda scalar: scalar.item()) for entry in metadata]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def read_metadata(root: Path) -> dict[int, dict[str, Any]]:
    """Episode index -> `Recording.metadata`; empty for datasets written by others.

    Raises:
        DatasetError: when the file is damaged.
    """
    path = Path(root) / RECORDINGS
    if not path.exists():
        return {}
    try:
        entries = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        return {int(entry.pop("episode_index")): entry for entry in entries}
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise DatasetError(
            f"cannot read the recordings' metadata ({error!r})", where=path, remedy="delete it"
        ) from error

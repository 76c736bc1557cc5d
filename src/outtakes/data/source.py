"""From what the user names to the index of a dataset, whatever it looks like on disk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from outtakes.data.layout import Layout, read_info, read_layout
from outtakes.data.legacy import converted


def find_layout(home: Path, cache_dir: Path | None = None) -> Layout:
    """The index of the dataset in a folder, converted first when it is of version v2.1.

    Raises:
        DatasetError: when there is none, it is of another version, or it is damaged.
        MachineError: when it must be converted and cannot be here.
    """
    if read_info(home).get("codebase_version") == "v2.1":
        return replace(read_layout(converted(home, cache_dir)), home=home)
    return read_layout(home)

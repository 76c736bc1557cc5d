"""From what the user names to the index of a dataset, whatever it looks like on disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from outtakes.data.lerobot.episode_index import read_layout
from outtakes.data.lerobot.faults import CorruptEpisode
from outtakes.data.lerobot.info import read_info
from outtakes.data.lerobot.layout import Layout, VideoSpans
from outtakes.data.lerobot.version_2 import read_layout_21
from outtakes.data.outcomes import FOLDERS
from outtakes.errors import ConfigError, DatasetError


def find_layout(home: Path) -> Layout:
    """The index of the dataset in a folder.

    It may be a LeRobotDataset v3.0, one of v2.1, or two of the same version, in folders `success`
    and `failure`, which are read as one.

    Raises:
        DatasetError: when there is none, it is of another version, or it is damaged.
    """
    if is_pair(home):
        return _joined(home, {name: _read(home / name) for name in FOLDERS})
    return _read(home)


def _read(root: Path) -> Layout:
    info = read_info(root)
    if info.get("codebase_version") == "v2.1":
        return read_layout_21(root, info)
    return read_layout(root)


def is_pair(home: Path) -> bool:
    """Whether a folder holds successes and failures as a dataset each."""
    return not (home / "meta").exists() and all(
        (home / name / "meta" / "info.json").is_file() for name in FOLDERS
    )


def _joined(home: Path, layouts: Mapping[str, Layout]) -> Layout:
    """Two datasets as one: the second's episodes are numbered on, as LeRobot's merge does it."""
    first, second = layouts.values()
    _check_alike(home, first, second)
    offset = max([*first.episode_indices.tolist(), *(e.episode for e in first.unindexed)]) + 1
    offsets = dict(zip(layouts, (0, offset), strict=True))
    indices = {name: layout.episode_indices + offsets[name] for name, layout in layouts.items()}
    return Layout(
        root=home,
        home=home,
        fps=first.fps,
        features=first.features,
        episode_indices=np.concatenate([*indices.values()]),
        lengths=np.concatenate([first.lengths, second.lengths]),
        tasks=[*first.tasks, *second.tasks],
        episode_files=_below(layouts, [first.episode_files, second.episode_files]),
        videos={
            name: VideoSpans(
                _below(layouts, [spans.files, second.videos[name].files]),
                np.concatenate([spans.from_timestamps, second.videos[name].from_timestamps]),
                np.concatenate([spans.to_timestamps, second.videos[name].to_timestamps]),
            )
            for name, spans in first.videos.items()
        },
        episode_columns={
            name: [*values, *second.episode_columns[name]]
            for name, values in first.episode_columns.items()
            if name in second.episode_columns
        },
        parts=list(layouts),
        index_offsets={
            f"{name}/{file}": offsets[name]
            for name, layout in layouts.items()
            for file in layout.data_files
        },
        folder_outcomes={
            int(e): FOLDERS[name] for name, episodes in indices.items() for e in episodes
        },
        stored_names=first.stored_names,
        stray_files=_below(layouts, [first.stray_files, second.stray_files]),
        unindexed=[
            CorruptEpisode(
                error.episode + offsets[name], error.what, file=error.file, remedy=error.mend
            )
            for name, layout in layouts.items()
            for error in layout.unindexed
        ],
        version=first.version,
    )


def _below(folders: Mapping[str, Layout], files: Sequence[Sequence[str]]) -> list[str]:
    """The files of each folder's episodes, relative to what holds the folders."""
    return [f"{name}/{file}" for name, own in zip(folders, files, strict=True) for file in own]


def _check_alike(home: Path, first: Layout, second: Layout) -> None:
    one, other = _kind(first), _kind(second)
    for name in sorted({*one, *other}):
        if one.get(name) != other.get(name):
            raise DatasetError(
                f"{name} is {one.get(name)} in {first.root.name} and {other.get(name)} in "
                f"{second.root.name}",
                where=home,
                remedy="record both with the same features at the same rate",
            )


def _kind(layout: Layout) -> dict[str, Any]:
    features = {
        name: (feature.get("dtype"), list(feature.get("shape") or []))
        for name, feature in layout.features.items()
    }
    stored = {f"the name of {name}": other for name, other in layout.stored_names.items()}
    return {"fps": layout.fps, "the version": layout.version, **stored, **features}


def check_outside(out: Path, home: Path) -> None:
    """Refuse to write into a dataset.

    Raises:
        ConfigError: when `out` lies inside.
    """
    if out.resolve().is_relative_to(home.resolve()):
        raise ConfigError(
            "that lies inside the dataset, which is only read",
            where=out,
            remedy="choose another --out",
        )

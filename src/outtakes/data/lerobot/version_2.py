"""Where a LeRobotDataset v2.1 keeps what: a parquet file and a video a camera for each episode."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from outtakes.data.lerobot.episode_index import (
    check_episodes,
    first_tasks,
    in_order,
    named_as_lerobot,
    own_columns,
    stray_files,
    unindexed,
)
from outtakes.data.lerobot.faults import RESTORE, UnreadableFile
from outtakes.data.lerobot.layout import Layout, VideoSpans
from outtakes.data.lerobot.path_template import Template
from outtakes.errors import DatasetError

_CHUNK = 1000
"""Episodes in a folder, where the dataset does not tell."""


def read_layout_21(root: Path, info: Mapping[str, Any]) -> Layout:
    """Read and check the metadata of a dataset of version v2.1.

    Args:
        root: its folder.
        info: its description.

    Raises:
        DatasetError: when the index is missing or damaged.
    """
    path = root / "meta" / "episodes.jsonl"
    column, damaged = _read_index(path)
    check_episodes(path, column)
    features, stored_names = named_as_lerobot(info["features"])
    episodes = column["episode_index"]
    files = _paths(root, info, "data_path", episodes)
    cameras = [n for n, f in info["features"].items() if f.get("dtype") == "video"]
    videos = {name: _paths(root, info, "video_path", episodes, name) for name in cameras}
    zeros, unknown = np.zeros(len(episodes)), np.full(len(episodes), np.nan)
    return Layout(
        root=root,
        home=root,
        fps=float(info["fps"]),
        features=features,
        episode_indices=np.array(episodes, dtype=np.int64),
        lengths=np.array(column["length"], dtype=np.int64),
        tasks=first_tasks(column),
        episode_files=files,
        videos={name: VideoSpans(paths, zeros, unknown) for name, paths in videos.items()},
        episode_columns=own_columns(column),
        stored_names=stored_names,
        stray_files=stray_files(root, files),
        unindexed=unindexed(info, episodes, damaged),
        version="v2.1",
    )


def _read_index(path: Path) -> tuple[dict[str, list], list[UnreadableFile]]:
    """The columns of the index, and what is wrong with lines of it that cannot be read."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise DatasetError(
            f"cannot read the index ({error.strerror})", where=path, remedy=RESTORE
        ) from error
    entries, damaged = [], []
    for number, line in enumerate(lines, start=1):
        entry = _parsed(line)
        if entry is not None:
            entries.append(entry)
        elif line.strip():
            what = f"line {number} is cut short or lacks episode_index or length"
            damaged.append(UnreadableFile(what, where=path, remedy=RESTORE))
    if not entries:
        raise damaged[0] if damaged else DatasetError("no episodes", where=path, remedy=RESTORE)
    # Any line may tell what the others do not.
    names = dict.fromkeys(name for entry in entries for name in entry)
    return in_order({name: [entry.get(name) for entry in entries] for name in names}), damaged


def _parsed(line: str) -> dict[str, Any] | None:
    """What a line says of an episode; None when it cannot be read."""
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    sound = isinstance(entry, dict) and {"episode_index", "length"} <= entry.keys()
    return entry if sound else None


def _paths(
    root: Path, info: Mapping[str, Any], name: str, episodes: list[int], camera: str = ""
) -> list[str]:
    template = Template(root, str(info.get(name)), name)
    size = int(info.get("chunks_size") or _CHUNK)
    return [
        template.fill(episode_chunk=e // size, episode_index=e, video_key=camera) for e in episodes
    ]

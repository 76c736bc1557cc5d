"""The index of a LeRobot dataset v3.0, read and checked. `version_2` reads that of v2.1.

Read straight from `meta/` with pyarrow: LeRobot's own class downloads from the hub whenever a
file is missing and copies the index into a cache of its own, and its import takes seconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from outtakes.data.lerobot.faults import RESTORE, CorruptEpisode, UnreadableFile
from outtakes.data.lerobot.info import read_info
from outtakes.data.lerobot.layout import Layout, VideoSpans
from outtakes.data.lerobot.parquet import column_names, read_table
from outtakes.data.lerobot.path_template import Template
from outtakes.errors import DatasetError

ALIASES = {
    "action": ("actions",),
    "observation.state": ("state",),
    "observation.environment_state": ("environment_state",),
}
"""Feature -> names that others, such as openpi, store it under."""


def read_layout(root: Path) -> Layout:
    """Read and check the metadata of a dataset of version v3.0.

    A damaged part of the index does not raise: its episodes are in `Layout.unindexed`.

    Raises:
        DatasetError: when there is no dataset, it is of another version, or it is damaged.
    """
    info = read_info(root)
    _check_version(root, info)
    column, damaged = _read_episodes(root)
    check_episodes(root / "meta" / "episodes", column)
    data = Template(root, info["data_path"], "data_path")
    features, stored_names = named_as_lerobot(info["features"])
    episode_files = data.fill_all(column, "data")
    return Layout(
        root=root,
        home=root,
        fps=float(info["fps"]),
        features=features,
        episode_indices=np.array(column["episode_index"], dtype=np.int64),
        lengths=np.array(column["length"], dtype=np.int64),
        tasks=first_tasks(column),
        episode_files=episode_files,
        videos=dict(_read_videos(root, info, column)),
        episode_columns=own_columns(column),
        stored_names=stored_names,
        stray_files=stray_files(root, episode_files),
        unindexed=unindexed(info, column["episode_index"], damaged),
    )


def named_as_lerobot(
    features: Mapping[str, Mapping[str, Any]],
) -> tuple[dict[str, Mapping[str, Any]], dict[str, str]]:
    """Features under LeRobot's names, and the names they are stored under where those differ."""
    stored = {
        name: found[0]
        for name, others in ALIASES.items()
        if name not in features and (found := [other for other in others if other in features])
    }
    lerobot = {other: name for name, other in stored.items()}
    return {lerobot.get(name, name): feature for name, feature in features.items()}, stored


def first_tasks(column: Mapping[str, Sequence[Any]]) -> list[str]:
    """What each episode was told to do, of the index's column of tasks."""
    return [str(tasks[0]) if tasks else "" for tasks in column.get("tasks", [])]


def own_columns(column: Mapping[str, list]) -> dict[str, list]:
    """The columns of an index that are not LeRobot's own."""
    lerobots = {"episode_index", "length", "tasks", "dataset_from_index", "dataset_to_index"}
    return {n: values for n, values in column.items() if n not in lerobots and "/" not in n}


def stray_files(root: Path, named: Sequence[str]) -> list[str]:
    """Parquet files of `data/` beside those named."""
    found = (path.relative_to(root).as_posix() for path in (root / "data").rglob("*.parquet"))
    return sorted(set(found) - set(named))


def unindexed(
    info: Mapping[str, Any], known: Sequence[int], damaged: Sequence[UnreadableFile]
) -> list[CorruptEpisode]:
    """The episodes that a damaged part of the index may have held: all that are told of and not
    known; the next one when all are."""
    total = info.get("total_episodes")
    told = set(range(total if isinstance(total, int) else 0)) - set(known)
    return [
        CorruptEpisode(episode, error.what, file=Path(str(error.where)), remedy=str(error.remedy))
        for error in damaged[:1]
        for episode in sorted(told) or [max(known) + 1]
    ]


def _check_version(root: Path, info: Mapping[str, Any]) -> None:
    version = str(info.get("codebase_version"))
    if not version.startswith("v3."):
        raise DatasetError(
            f"dataset of version {version}, Outtakes reads v3.0 and v2.1",
            where=root / "meta" / "info.json",
            remedy="convert it with the LeRobot of its time, or export it again",
        )


def _read_episodes(root: Path) -> tuple[dict[str, list], list[UnreadableFile]]:
    """The columns of the index, and what is wrong with the files of it that cannot be read."""
    files = sorted((root / "meta" / "episodes").glob("*/*.parquet"))
    if not files:
        raise DatasetError("no episodes (meta/episodes is empty)", where=root, remedy=RESTORE)
    parts, damaged = [], []
    for file in files:
        try:
            parts.append(_read_index(file))
        except UnreadableFile as error:
            damaged.append(error)
    if not parts:
        raise damaged[0]
    # As lists: files written at different times may differ in their types.
    names = dict.fromkeys(name for part in parts for name in part)
    rows = [len(part["episode_index"]) for part in parts]
    joined = {
        name: [v for p, n in zip(parts, rows, strict=True) for v in p.get(name, [None] * n)]
        for name in names
    }
    return in_order(joined), damaged


def in_order(column: Mapping[str, list]) -> dict[str, list]:
    """The columns of an index by ascending episode; values in lists of one are taken out."""
    flat = {
        n: values if n == "tasks" else list(map(_alone, values)) for n, values in column.items()
    }
    episodes = flat["episode_index"]
    order = sorted(range(len(episodes)), key=lambda i: -1 if episodes[i] is None else episodes[i])
    return {name: [values[i] for i in order] for name, values in flat.items()}


def _alone(value: Any) -> Any:
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _read_index(file: Path) -> dict[str, list]:
    names = [name for name in column_names(file) if not name.startswith("stats/")]
    missing = {"episode_index", "length", "data/chunk_index", "data/file_index"} - set(names)
    if missing:
        raise DatasetError(f"no column {sorted(missing)[0]}", where=file, remedy=RESTORE)
    table = read_table(file, names)
    return {name: table[name].to_pylist() for name in names}


def check_episodes(where: Path, column: Mapping[str, list]) -> None:
    """Refuse an index whose episodes do not ascend or have no frames.

    Raises:
        DatasetError: naming the first such episode.
    """
    episodes = column["episode_index"]
    for previous, episode in zip([-1, *episodes[:-1]], episodes, strict=True):
        if not isinstance(episode, int) or episode <= previous:
            raise DatasetError(
                f"episode {episode} follows episode {previous} in the index",
                where=where,
                remedy=RESTORE,
            )
    for episode, length in zip(episodes, column["length"], strict=True):
        if not isinstance(length, int) or length < 1:
            raise DatasetError(
                f"episode {episode} has {length} frames", where=where, remedy=RESTORE
            )


def _read_videos(
    root: Path, info: Mapping[str, Any], column: Mapping[str, list]
) -> Iterator[tuple[str, VideoSpans]]:
    for name, feature in info["features"].items():
        if feature.get("dtype") != "video":
            continue
        prefix = f"videos/{name}"
        if f"{prefix}/from_timestamp" not in column or not info.get("video_path"):
            raise DatasetError(f"no index of the videos of {name}", where=root, remedy=RESTORE)
        template = Template(root, info["video_path"], "video_path")
        unknown = [None] * len(column["episode_index"])
        yield (
            name,
            VideoSpans(
                template.fill_all(column, prefix, video_key=name),
                np.array(column[f"{prefix}/from_timestamp"], dtype=np.float64),
                np.array(column.get(f"{prefix}/to_timestamp", unknown), dtype=np.float64),
            ),
        )

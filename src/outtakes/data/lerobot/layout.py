"""Where a LeRobot dataset v3.0 keeps what: its metadata, read and checked. `version_2` has v2.1's.

Read straight from `meta/` with pyarrow: LeRobot's own class downloads from the hub whenever a
file is missing and copies the index into a cache of its own, and its import takes seconds.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from outtakes.data.lerobot.faults import CorruptEpisode, UnreadableFile
from outtakes.data.lerobot.parquet import column_names, read_table
from outtakes.data.outcomes import Evidence, is_numeric
from outtakes.errors import DatasetError, UnknownName

CAMERA_PREFIX = "observation.images."
"""What LeRobot puts before a camera's name."""


@dataclass(frozen=True)
class VideoSpans:
    """Where each episode lies in one camera's video files."""

    files: Sequence[str]
    """(N,) path of each episode's video, relative to the dataset."""
    from_timestamps: np.ndarray
    """(N,) seconds from the start of the file to the episode's first frame."""
    to_timestamps: np.ndarray
    """(N,) seconds from the start of the file to the end of the episode's last frame; NaN where
    nothing tells."""

    def chosen(self, places: np.ndarray) -> VideoSpans:
        """The spans of the episodes at these places."""
        return VideoSpans(
            _chosen(self.files, places), self.from_timestamps[places], self.to_timestamps[places]
        )


def _chosen[T](values: Sequence[T], places: np.ndarray) -> list[T]:
    return [values[i] for i in places]


@dataclass(frozen=True)
class Layout:
    """The index of one dataset."""

    root: Path
    """Folder that files are relative to."""
    home: Path
    """Folder that the user named, where label files are; `root` may be a converted copy of it."""
    fps: float
    features: Mapping[str, Mapping[str, Any]]
    """LeRobot feature name -> dtype, shape and more; under LeRobot's names, see `stored_names`."""
    episode_indices: np.ndarray
    """(N,) int64, strictly increasing."""
    lengths: np.ndarray
    """(N,) int64, frames of each episode."""
    tasks: Sequence[str]
    """(N,) instructions in words."""
    episode_files: Sequence[str]
    """(N,) parquet file of each episode, relative to the dataset."""
    videos: Mapping[str, VideoSpans]
    """Feature name of each camera stored as video -> its spans."""
    episode_columns: Mapping[str, Sequence[object]] = field(default_factory=dict)
    """Column of `meta/episodes` that is not LeRobot's own -> (N,) values."""
    parts: Sequence[str] = ("",)
    """Folders below `root` that each hold a LeRobot dataset: one, unless it is two joined."""
    index_offsets: Mapping[str, int] = field(default_factory=dict)
    """Parquet file -> what to add to the episode indices stored in it."""
    folder_outcomes: Mapping[int, bool] = field(default_factory=dict)
    """Episode index -> success, where the dataset is two folders."""
    left_out: Mapping[int, str] = field(default_factory=dict)
    """Index of each corrupt episode that is left out of all of the above -> what is wrong."""
    stored_names: Mapping[str, str] = field(default_factory=dict)
    """Feature -> the name it is stored under, where that is another; see `ALIASES`."""
    stray_files: Sequence[str] = ()
    """Parquet files of `data/` that the index does not name; rows may be in them all the same."""
    unindexed: Sequence[CorruptEpisode] = ()
    """Episodes whose part of the index is damaged."""
    version: str = "v3.0"
    """Of LeRobot's format."""

    def stored(self, feature: str) -> str:
        """The column in which a feature is stored."""
        return self.stored_names.get(feature, feature)

    @property
    def unlike_lerobot(self) -> str | None:
        """Why LeRobot's `--dataset.episodes` cannot name episodes of it; None when it can."""
        if self.version != "v3.0":
            return f"it is of version {self.version}"
        if len(self.parts) > 1:
            return "it is two datasets"
        if self.stored_names:
            feature, stored = next(iter(self.stored_names.items()))
            return f"its {feature} is named {stored}"
        known = sorted([*self.episode_indices.tolist(), *self.left_out])
        if known != list(range(len(known))):
            return "its episodes are not numbered 0, 1, 2, ..."
        return None

    def without(self, corrupt: Mapping[int, str]) -> Layout:
        """The same dataset less these episodes.

        Raises:
            DatasetError: when that leaves none.
        """
        kept = np.flatnonzero(~np.isin(self.episode_indices, list(corrupt)))
        if not len(kept):
            raise DatasetError(
                f"every episode is corrupt: {next(iter(corrupt.values()))}",
                where=self.home,
                remedy=_EXPORT,
            )
        return replace(
            self,
            episode_indices=self.episode_indices[kept],
            lengths=self.lengths[kept],
            tasks=_chosen(self.tasks, kept) if self.tasks else (),
            episode_files=_chosen(self.episode_files, kept),
            videos={name: spans.chosen(kept) for name, spans in self.videos.items()},
            episode_columns={
                n: _chosen(values, kept) for n, values in self.episode_columns.items()
            },
            left_out={**self.left_out, **corrupt},
            stray_files=list(dict.fromkeys([*self.stray_files, *self.episode_files])),
            unindexed=(),
        )

    @property
    def data_files(self) -> list[str]:
        """Parquet files relative to the dataset, each once: those that the index names first."""
        return list(dict.fromkeys([*self.episode_files, *self.stray_files]))

    @property
    def starts(self) -> np.ndarray:
        """(N + 1,) int64 row offsets of the episodes."""
        return np.concatenate([[0], np.cumsum(self.lengths)])

    @property
    def cameras(self) -> dict[str, str]:
        """Name of each colour camera, without LeRobot's prefix -> its feature."""
        return {
            camera_name(name): name
            for name, feature in self.features.items()
            if feature.get("dtype") in ("video", "image") and not is_depth(name, feature)
        }

    def evidence(self, columns: Mapping[str, np.ndarray], labels: Path | None) -> Evidence:
        """What it says about how its episodes ended.

        Args:
            columns: column of `data/` that was read -> (R,) or (R, d) numbers.
            labels: a label file in place of those in the dataset's folder.
        """
        return Evidence(
            self.home,
            self.episode_indices,
            self.starts,
            columns,
            self.episode_columns,
            self.folder_outcomes,
            labels=labels,
            left_out=self.left_out.keys(),
            numeric_columns=[name for name, f in self.features.items() if is_numeric(f)],
        )

    def choose_cameras(self, wanted: Sequence[str] | None) -> list[str]:
        """These cameras, or all of them.

        Raises:
            UnknownName: when the dataset lacks one.
        """
        for camera in wanted or ():
            if camera not in self.cameras:
                raise UnknownName("camera", camera, self.cameras)
        return list(self.cameras if wanted is None else dict.fromkeys(wanted))

    def files(self) -> dict[str, Path]:
        """Every file there is of the dataset's own: relative path -> file."""
        folders = (f"{part}/{name}" for part in self.parts for name in ("meta", "data", "videos"))
        found = (path for f in folders for path in (self.root / f.lstrip("/")).rglob("*"))
        names = {path.relative_to(self.root).as_posix() for path in found}
        names.update(self.data_files, *(spans.files for spans in self.videos.values()))
        return {name: self.root / name for name in names if (self.root / name).is_file()}


def camera_name(feature: str) -> str:
    """Name of a camera, given its feature: "top" of "observation.images.top"."""
    return feature.removeprefix(CAMERA_PREFIX).removeprefix("observation.")


def dimension_names(feature: Mapping[str, Any] | None) -> list[str]:
    """Names of a vector's dimensions, where they are known.

    LeRobot keeps them as a list, or as lists under headings such as "motors".
    """
    names = (feature or {}).get("names") or []
    groups = names.values() if isinstance(names, dict) else [names]
    flat = [name for group in groups for name in (group if isinstance(group, list) else [group])]
    return [str(name) for name in flat]


def is_depth(name: str, feature: Mapping[str, Any]) -> bool:
    """Whether a camera measures distances, which are not pictures to look at."""
    told = [feature.get(key) or {} for key in ("info", "video_info")]
    flags = ("is_depth_map", "video.is_depth_map")
    if any(facts.get(flag) for facts in (feature, *told) for flag in flags):
        return True
    return "depth" in name.lower() and 1 in [*(feature.get("shape") or [])]


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


def read_info(root: Path) -> dict[str, Any]:
    """The description of a dataset of any version.

    Raises:
        DatasetError: when there is no dataset, or its description is damaged.
    """
    if not root.is_dir():
        raise DatasetError(
            "no such dataset folder",
            where=root,
            remedy="check the path; a dataset of the hub is named owner/name",
        )
    path = root / "meta" / "info.json"
    if not path.is_file():
        raise DatasetError(
            "not a LeRobot dataset (no meta/info.json)",
            where=root,
            remedy="give the folder that holds meta/, data/ and videos/",
        )
    try:
        info = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DatasetError(
            f"cannot read the dataset's description ({error})", where=path, remedy=_EXPORT
        ) from error
    _check_info(path, info)
    return info


_EXPORT = "restore the file, or export the dataset again"


def _check_version(root: Path, info: Mapping[str, Any]) -> None:
    version = str(info.get("codebase_version"))
    if not version.startswith("v3."):
        raise DatasetError(
            f"dataset of version {version}, Outtakes reads v3.0 and v2.1",
            where=root / "meta" / "info.json",
            remedy="convert it with the LeRobot of its time, or export it again",
        )


def _check_info(path: Path, info: Any) -> None:
    if not isinstance(info, dict):
        raise DatasetError("no description of a dataset", where=path, remedy=_EXPORT)
    features, fps, data_path = (info.get(key) for key in ("features", "fps", "data_path"))
    sound = isinstance(features, dict) and all(isinstance(f, dict) for f in features.values())
    if not (sound and isinstance(fps, int | float) and fps > 0 and isinstance(data_path, str)):
        raise DatasetError(
            "features, fps or data_path is missing or malformed", where=path, remedy=_EXPORT
        )


def _read_episodes(root: Path) -> tuple[dict[str, list], list[UnreadableFile]]:
    """The columns of the index, and what is wrong with the files of it that cannot be read."""
    files = sorted((root / "meta" / "episodes").glob("*/*.parquet"))
    if not files:
        raise DatasetError("no episodes (meta/episodes is empty)", where=root, remedy=_EXPORT)
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
        raise DatasetError(f"no column {sorted(missing)[0]}", where=file, remedy=_EXPORT)
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
                remedy=_EXPORT,
            )
    for episode, length in zip(episodes, column["length"], strict=True):
        if not isinstance(length, int) or length < 1:
            raise DatasetError(
                f"episode {episode} has {length} frames", where=where, remedy=_EXPORT
            )


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
                remedy=_EXPORT,
            ) from error
        parts = PurePosixPath(path.replace("\\", "/"))
        if parts.is_absolute() or ".." in parts.parts or ":" in path:
            raise DatasetError(
                f"{self.name} leads out of the dataset's folder: {path}",
                where=self.root / "meta" / "info.json",
                remedy="use a dataset from a source you trust",
            )
        return path


def _read_videos(
    root: Path, info: Mapping[str, Any], column: Mapping[str, list]
) -> Iterator[tuple[str, VideoSpans]]:
    for name, feature in info["features"].items():
        if feature.get("dtype") != "video":
            continue
        prefix = f"videos/{name}"
        if f"{prefix}/from_timestamp" not in column or not info.get("video_path"):
            raise DatasetError(f"no index of the videos of {name}", where=root, remedy=_EXPORT)
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

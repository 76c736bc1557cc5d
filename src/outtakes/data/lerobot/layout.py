"""Where a LeRobot dataset keeps what: its index, as read, whatever its version."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from outtakes.data.lerobot.faults import RESTORE, CorruptEpisode
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
    """Feature -> the name it is stored under, where that is another; see
    `outtakes.data.lerobot.episode_index.ALIASES`."""
    stray_files: Sequence[str] = ()
    """Parquet files of `data/` that the index does not name; rows may be in them all the same."""
    unindexed: Sequence[CorruptEpisode] = ()
    """Episodes whose part of the index is damaged."""
    version: str = "v3.0"
    """Of LeRobot's format."""

    def stored(self, feature: str) -> str:
        """The column in which a feature is stored."""
        return self.stored_names.get(feature, feature)

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
                remedy=RESTORE,
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

    def part_offsets(self) -> Iterator[tuple[str, int]]:
        """Each part, and what its episode indices are raised by."""
        for part in self.parts:
            below = [v for f, v in self.index_offsets.items() if f.startswith(f"{part}/")]
            yield part, below[0] if below else 0

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

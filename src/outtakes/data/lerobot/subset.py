"""Some episodes of a dataset as a dataset of their own, of version v3.0, numbered from 0.

It is written from what reading found, so that it holds the very takes that were read, whatever the
source looks like: of v2.1, in two folders, with gaps in its numbers, with an index gone stale or
times that do not begin at 0. Video files are copied where all their episodes are kept, and cut
without loss (`outtakes.data.lerobot.cutting`) where not; what cannot be cut is encoded again.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from outtakes.data.lerobot import parquet
from outtakes.data.lerobot.cutting import cut
from outtakes.data.lerobot.encoding import encode
from outtakes.data.lerobot.faults import Faults
from outtakes.data.lerobot.feature_statistics import Statistics, stored_picture_statistics
from outtakes.data.lerobot.layout import CAMERA_PREFIX, Layout, VideoSpans, camera_name, is_depth
from outtakes.data.lerobot.metadata import RECORDINGS, read_metadata, write_metadata
from outtakes.data.lerobot.rows import Rows, read_rows
from outtakes.data.lerobot.tasks import row_tasks
from outtakes.data.lerobot.video import frame_times, frames_at, is_even
from outtakes.data.outcomes import is_numeric
from outtakes.errors import DatasetError

if TYPE_CHECKING:
    import pyarrow as pa

FOLDER = 1000
"""Files in a folder of `data/` or `videos/`."""
_INDICES = ("frame_index", "episode_index", "index", "task_index")


@dataclass(frozen=True)
class VideoFiles:
    """What became of the video files that hold kept episodes."""

    copied: int = 0
    """As they are: all their episodes are kept."""
    cut: int = 0
    """Their kept episodes alone, with the very frames."""
    encoded: int = 0
    """Encoded again, with loss: an episode does not begin at a key frame."""

    def __add__(self, other: VideoFiles) -> VideoFiles:
        return VideoFiles(
            self.copied + other.copied, self.cut + other.cut, self.encoded + other.encoded
        )


def write_subset(whole: Layout, episodes: Sequence[int], root: Path) -> VideoFiles:
    """Write these episodes as a LeRobotDataset v3.0, numbered from 0 in their order.

    Args:
        whole: the whole dataset; its files are only read.
        episodes: episode indices to keep, ascending; they are sound.
        root: folder of the new dataset; must not exist.

    Raises:
        DatasetError: when an image is not in its file, or a video is damaged.
        MachineError: when LeRobot is missing.
        OSError: when the disk is full or not writable.
    """
    dropped = set(whole.episode_indices.tolist()) - set(episodes)
    layout = whole.without(dict.fromkeys(dropped, "dropped")) if dropped else whole
    numeric = [name for name, feature in layout.features.items() if is_numeric(feature)]
    layout, rows = read_rows(layout, numeric, skip_bad=False)
    return _Subset(whole, layout, rows, root).write()


@dataclass(frozen=True)
class _Place:
    """Where an episode lies in a video file of the new dataset."""

    file: int
    start: float
    """Seconds from the start of the file."""


class _Subset:
    """A dataset in the making.

    Args:
        whole: the source.
        layout: its kept episodes.
        rows: their rows.
        root: folder of the new dataset.
    """

    def __init__(self, whole: Layout, layout: Layout, rows: Rows, root: Path) -> None:
        self.whole, self.layout, self.rows, self.root = whole, layout, rows, root
        self.tasks = row_tasks(layout, rows)
        self.features = {_new_name(n, f): _described(f) for n, f in layout.features.items()}
        for name in ("timestamp", *_INDICES):
            kind = "float32" if name == "timestamp" else "int64"
            self.features[name] = {"dtype": kind, "shape": [1], "names": None}
        self._table = lru_cache(2)(parquet.read_table)

    def write(self) -> VideoFiles:
        files = self._write_data()
        places: dict[str, list[_Place]] = {}
        videos = VideoFiles()
        for feature, spans in self.layout.videos.items():
            name = _new_name(feature, self.layout.features[feature])
            places[name], done = self._write_videos(feature, name, spans)
            videos += done
        self._write_meta(files, places)
        return videos

    # --- numbers and stored images -----------------------------------------------------------

    def _write_data(self) -> list[int]:
        """Write `data/`; returns the number of each episode's file."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        schema = _schema(self.features)
        sources = [next(iter(self.rows.found(*self._span(i))))[0] for i in range(self._count)]
        files = []
        for number, (_, group) in enumerate(groupby(range(self._count), sources.__getitem__)):
            members = list(group)
            path = self.root / _numbered("data", number, "parquet")
            path.parent.mkdir(parents=True, exist_ok=True)
            with pq.ParquetWriter(path, schema) as writer:
                for i in members:
                    # A row group an episode, as LeRobot writes them.
                    columns = [self._column(i, field) for field in schema]
                    writer.write_table(pa.Table.from_arrays(columns, schema=schema))
            files += [number] * len(members)
        return files

    @property
    def _count(self) -> int:
        return len(self.layout.lengths)

    def _span(self, episode: int) -> tuple[int, int]:
        """First row and number of rows of a kept episode, by its place."""
        return int(self.layout.starts[episode]), int(self.layout.lengths[episode])

    def _column(self, episode: int, field: pa.Field) -> pa.Array | pa.ChunkedArray:
        import pyarrow as pa

        first, count = self._span(episode)
        frames = np.arange(count)
        own = {
            "frame_index": frames,
            "episode_index": np.full(count, episode),
            "index": first + frames,
            "task_index": self.tasks.indices[first : first + count],
            "timestamp": (frames / self.layout.fps).astype(np.float32),
        }
        if field.name in own:
            return pa.array(own[field.name], field.type)
        feature = next(n for n, f in self.layout.features.items() if _new_name(n, f) == field.name)
        stored = self.layout.stored(feature)
        parts = []
        for file, rows in self.rows.found(first, count):
            path = self.layout.root / file
            column = self._table(path)[stored].take(pa.array(rows))
            if self.features[field.name]["dtype"] == "image":
                parquet.check_embedded(column, path, stored)
            parts.append(parquet.as_type(column, field.type))
        return pa.chunked_array([chunk for part in parts for chunk in part.chunks], field.type)

    # --- videos ------------------------------------------------------------------------------

    def _write_videos(
        self, feature: str, name: str, spans: VideoSpans
    ) -> tuple[list[_Place], VideoFiles]:
        places: dict[int, _Place] = {}
        done = VideoFiles()
        for number, file in enumerate(dict.fromkeys(spans.files)):
            members = [i for i, own in enumerate(spans.files) if own == file]
            target = self.root / _numbered(f"videos/{name}", number, "mp4")
            target.parent.mkdir(parents=True, exist_ok=True)
            starts, how = self._write_video(feature, spans, members, target)
            places |= {i: _Place(number, s) for i, s in zip(members, starts, strict=True)}
            done += how
        return [places[i] for i in range(self._count)], done

    def _write_video(
        self, feature: str, spans: VideoSpans, members: Sequence[int], target: Path
    ) -> tuple[list[float], VideoFiles]:
        """Copy, cut or encode one file; returns where its episodes begin in it, in seconds."""
        file, fps = spans.files[members[0]], self.layout.fps
        source = self.layout.root / file
        wanted = [self._times(spans, i) for i in members]
        shown = frame_times(source)
        lengths = self.layout.lengths[list(members)]
        whole = len(members) == self.whole.videos[feature].files.count(file)
        if all(is_even(times, fps) for times in wanted):
            # The very times: the index may tell them less exactly than LeRobot wants them.
            exact = [float(shown[np.abs(shown - times[0]).argmin()]) for times in wanted]
            if whole or is_depth(feature, self.layout.features[feature]):
                shutil.copyfile(source, target)
                return exact, VideoFiles(copied=1)
            firsts = [round(start * fps) for start in exact]
            pieces = [(f, f + int(n)) for f, n in zip(firsts, lengths, strict=True)]
            ends = np.cumsum(lengths) / fps
            if cut(source, target, pieces, fps):
                return [0.0, *ends[:-1].tolist()], VideoFiles(cut=1)
        episodes = np.repeat(self.layout.episode_indices[list(members)], lengths)
        frames = frames_at(source, np.concatenate(wanted), episodes, fps, Faults(skip=False))
        encode(target, (frame for _, frame in frames), fps)
        return [0.0, *(np.cumsum(lengths) / fps)[:-1].tolist()], VideoFiles(encoded=1)

    def _times(self, spans: VideoSpans, episode: int) -> np.ndarray:
        """(T,) seconds from the start of its video to each frame of an episode."""
        first, count = self._span(episode)
        return spans.from_timestamps[episode] + self.rows.columns["timestamp"][
            first : first + count
        ].astype(np.float64)

    # --- meta --------------------------------------------------------------------------------

    def _write_meta(self, files: Sequence[int], places: Mapping[str, Sequence[_Place]]) -> None:
        import json

        import pyarrow as pa
        import pyarrow.parquet as pq

        statistics = Statistics(self.features)
        pictures = stored_picture_statistics(self.layout)
        entries = []
        for i in range(self._count):
            known = {
                _new_name(n, self.layout.features[n]): found
                for n, found in pictures.get(int(self.layout.episode_indices[i]), {}).items()
            }
            computed = statistics.add(self._numbers(i), known)
            entries.append(self._entry(i, files, places) | computed)
        path = self.root / _numbered("meta/episodes", 0, "parquet")
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(entries), path)
        self.tasks.write(self.root)
        statistics.write(self.root)
        (self.root / "meta" / "info.json").write_text(
            json.dumps(self._info(), indent=4), encoding="utf-8"
        )
        self._write_recordings()

    def _entry(
        self, i: int, files: Sequence[int], places: Mapping[str, Sequence[_Place]]
    ) -> dict[str, Any]:
        first, count = self._span(i)
        entry = {
            "episode_index": i,
            "tasks": self.tasks.of(first, count),
            "length": count,
            "data/chunk_index": files[i] // FOLDER,
            "data/file_index": files[i] % FOLDER,
            "dataset_from_index": first,
            "dataset_to_index": first + count,
            "meta/episodes/chunk_index": 0,
            "meta/episodes/file_index": 0,
        }
        for name, found in places.items():
            place = found[i]
            entry |= {
                f"videos/{name}/chunk_index": place.file // FOLDER,
                f"videos/{name}/file_index": place.file % FOLDER,
                f"videos/{name}/from_timestamp": place.start,
                f"videos/{name}/to_timestamp": place.start + count / self.layout.fps,
            }
        return entry

    def _numbers(self, i: int) -> dict[str, np.ndarray]:
        """Feature -> (T, ...) numbers of an episode."""
        first, count = self._span(i)
        renamed = {n: _new_name(n, self.layout.features[n]) for n in self.layout.features}
        found = {
            renamed[name]: values[first : first + count]
            for name, values in self.rows.columns.items()
            if name in renamed and name not in (*_INDICES, "timestamp")
        }
        frames = np.arange(count)
        return {
            **{n: v[:, 0] if v.shape[1] == 1 else v for n, v in found.items()},
            "timestamp": frames / self.layout.fps,
            "frame_index": frames,
            "episode_index": np.full(count, i),
            "index": first + frames,
            "task_index": self.tasks.indices[first : first + count],
        }

    def _info(self) -> dict[str, Any]:
        from outtakes.data.lerobot.layout import read_info

        source, fps = read_info(self.layout.root / self.layout.parts[0]), self.layout.fps
        return {
            "codebase_version": "v3.0",
            "robot_type": source.get("robot_type"),
            "total_episodes": self._count,
            "total_frames": int(self.layout.lengths.sum()),
            "total_tasks": len(self.tasks.texts),
            "chunks_size": FOLDER,
            "data_files_size_in_mb": source.get("data_files_size_in_mb", 100),
            "video_files_size_in_mb": source.get("video_files_size_in_mb", 200),
            "fps": int(fps) if fps == int(fps) else fps,
            "splits": {"train": f"0:{self._count}"},
            "data_path": _TEMPLATE.format(folder="data", suffix="parquet"),
            "video_path": _TEMPLATE.format(folder="videos/{video_key}", suffix="mp4")
            if self.layout.videos
            else None,
            "features": self.features,
        }

    def _write_recordings(self) -> None:
        entries = {}
        for part, offset in _offsets(self.layout):
            found = read_metadata(self.layout.root / part)
            entries |= {episode + offset: entry for episode, entry in found.items()}
        if entries:
            kept = enumerate(self.layout.episode_indices.tolist())
            metadata = [{**entries.get(old, {}), "episode_index": new} for new, old in kept]
            write_metadata(self.root / RECORDINGS, metadata)


_TEMPLATE = "{folder}/chunk-{{chunk_index:03d}}/file-{{file_index:03d}}.{suffix}"


def _numbered(folder: str, number: int, suffix: str) -> str:
    return f"{folder}/chunk-{number // FOLDER:03d}/file-{number % FOLDER:03d}.{suffix}"


def _offsets(layout: Layout) -> Iterator[tuple[str, int]]:
    """Each part of a dataset, and what its episode indices are raised by."""
    for part in layout.parts:
        below = [v for f, v in layout.index_offsets.items() if f.startswith(f"{part}/")]
        yield part, below[0] if below else 0


def _new_name(name: str, feature: Mapping[str, Any]) -> str:
    """The name under which LeRobot's policies look for a feature."""
    if feature.get("dtype") in ("video", "image") and not name.startswith("observation."):
        return f"{CAMERA_PREFIX}{camera_name(name)}"
    return name


def _described(feature: Mapping[str, Any]) -> dict[str, Any]:
    return {**feature, "shape": list(feature.get("shape") or [1])}


def _schema(features: Mapping[str, Mapping[str, Any]]) -> pa.Schema:
    """The schema of `data/` as LeRobot has it."""
    from outtakes.data.lerobot.write import table_schema

    try:
        return table_schema(features)
    except ValueError as error:
        raise DatasetError(
            f"LeRobot cannot store the dataset ({error})", remedy="correct meta/info.json"
        ) from error

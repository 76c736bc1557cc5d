"""Some episodes of a dataset as a dataset of their own, made by LeRobot's own tool.

`lerobot.datasets.dataset_tools.split_dataset` copies a video file when all its episodes are kept,
and encodes it again, with loss, when some are not. So it is given a view of the source in which
every video file holds kept episodes alone, cut without loss (`outtakes.data.lerobot.cutting`): then
it only copies. Files that cannot be cut so are left to it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from outtakes.data.lerobot import parquet
from outtakes.data.lerobot.cutting import Span, cut
from outtakes.data.lerobot.faults import UnreadableFile
from outtakes.data.lerobot.layout import Layout, VideoSpans, read_layout
from outtakes.data.lerobot.metadata import RECORDINGS, read_metadata, write_metadata
from outtakes.data.lerobot.splitting import SPLIT, split
from outtakes.data.lerobot.write import join_datasets
from outtakes.errors import DatasetError
from outtakes.files import unwritable


@dataclass(frozen=True)
class VideoFiles:
    """What became of the video files that hold kept episodes."""

    copied: int = 0
    """As they are: all their episodes are kept."""
    cut: int = 0
    """Their kept episodes alone, with the very frames."""
    encoded: int = 0
    """Encoded again by LeRobot, with loss: an episode does not begin at a key frame."""

    def __add__(self, other: VideoFiles) -> VideoFiles:
        return VideoFiles(
            self.copied + other.copied, self.cut + other.cut, self.encoded + other.encoded
        )


def write_subset(layout: Layout, episodes: Sequence[int], root: Path, work: Path) -> VideoFiles:
    """Write these episodes as a LeRobotDataset v3.0, numbered from 0 in their order.

    Args:
        layout: the whole dataset; its files are only read.
        episodes: episode indices to keep, ascending.
        root: folder of the new dataset; must not exist.
        work: folder for what is in between; the caller removes it.

    Raises:
        DatasetError: when the indices have gaps, an image is not in its file, or LeRobot fails.
        MachineError: when LeRobot is missing, or the disk is full or not writable.
    """
    made, done = [], VideoFiles()
    for name, part, kept in _parts(layout, episodes):
        folder = work / (name or "whole")
        try:
            folder.mkdir(parents=True)
            done += _write_part(part, kept, folder)
        except OSError as error:
            raise unwritable(root, error) from error
        made.append(folder / SPLIT)
    if len(made) > 1:
        join_datasets(made, root)
    else:
        made[0].rename(root)
    return done


def _parts(layout: Layout, episodes: Sequence[int]) -> Iterator[tuple[str, Layout, list[int]]]:
    """The datasets that one is made of, each with the episodes to keep, as it numbers them."""
    first = 0
    for name in layout.parts:
        part = read_layout(layout.root / name)
        end = first + int(part.episode_indices[-1]) + 1
        kept = [episode - first for episode in episodes if first <= episode < end]
        if kept:
            yield name, part, kept
        first = end


def _write_part(layout: Layout, kept: Sequence[int], work: Path) -> VideoFiles:
    _check_numbering(layout)
    _check_embedded(layout, kept)
    done = _View(layout, kept, work / "view").make()
    split(work / "view", kept, work, source=layout.root)
    entries = read_metadata(layout.root)
    if entries:
        metadata = [{**entries.get(old, {}), "episode_index": new} for new, old in enumerate(kept)]
        write_metadata(work / SPLIT / RECORDINGS, metadata)
    return done


def _check_numbering(layout: Layout) -> None:
    """LeRobot's tools take an episode's place for its index."""
    if layout.episode_indices[-1] != len(layout.episode_indices) - 1:
        raise DatasetError(
            "the episodes are not numbered 0, 1, 2, ...",
            where=layout.root,
            remedy="export it with LeRobot first, or use --no-lerobot",
        )


def _check_embedded(layout: Layout, kept: Sequence[int]) -> None:
    """LeRobot would put any file in place of an image that the dataset says is stored elsewhere."""
    images = [name for name, f in layout.features.items() if f.get("dtype") == "image"]
    for file in _files_of(layout.episode_files, kept):
        for feature in images:
            for _ in parquet.image_bytes(layout.root / file, feature):
                pass


def _files_of(files: Sequence[str], episodes: Sequence[int]) -> list[str]:
    return list(dict.fromkeys(files[episode] for episode in episodes))


@dataclass
class _View:
    """A dataset of links to another one's files, without what the dropped episodes alone need."""

    layout: Layout
    kept: Sequence[int]
    folder: Path
    changes: dict[str, dict[int, Any]] = field(default_factory=dict)
    """Column of `meta/episodes` -> episode -> value in place of its own."""

    def make(self) -> VideoFiles:
        for file in _files_of(self.layout.episode_files, self.kept):
            self._link(file)
        done = VideoFiles()
        for feature, spans in self.layout.videos.items():
            for file in _files_of(spans.files, self.kept):
                done += self._add_video(feature, spans, file)
        self._add_meta()
        return done

    def _link(self, file: str) -> None:
        _check_there(self.layout.root / file)
        place = self.folder / file
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to((self.layout.root / file).absolute())

    def _add_video(self, feature: str, spans: VideoSpans, file: str) -> VideoFiles:
        inside = [episode for episode, own in enumerate(spans.files) if own == file]
        kept = [episode for episode in self.kept if spans.files[episode] == file]
        if kept == inside:
            self._link(file)
            return VideoFiles(copied=1)
        (self.folder / file).parent.mkdir(parents=True, exist_ok=True)
        _check_there(self.layout.root / file)
        pieces = [_span(self.layout, spans, episode) for episode in kept]
        if not cut(self.layout.root / file, self.folder / file, pieces, self.layout.fps):
            self._link(file)
            return VideoFiles(encoded=1)
        self._move(feature, kept, set(inside) - set(kept))
        return VideoFiles(cut=1)

    def _move(self, feature: str, kept: Sequence[int], dropped: set[int]) -> None:
        """Say where the episodes lie in a file that was cut."""
        ends = np.cumsum(self.layout.lengths[list(kept)]) / self.layout.fps
        starts = [0.0, *ends[:-1].tolist()]
        moved = {
            "from_timestamp": dict(zip(kept, starts, strict=True)),
            "to_timestamp": dict(zip(kept, ends.tolist(), strict=True)),
            "chunk_index": dict.fromkeys(dropped, -1),
        }
        for name, values in moved.items():
            self.changes.setdefault(f"videos/{feature}/{name}", {}).update(values)

    def _add_meta(self) -> None:
        meta = self.layout.root / "meta"
        for path in sorted(path for path in meta.rglob("*") if path.is_file()):
            file = path.relative_to(self.layout.root)
            if file.parts[1] == "episodes" and self.changes:
                _write_changed(path, self.folder / file, self.changes)
            else:
                self._link(file.as_posix())


def _check_there(path: Path) -> None:
    """Refuse a dataset that lacks a file; LeRobot would ask the hub for it."""
    if not path.is_file():
        raise UnreadableFile("missing file", where=path, remedy="restore it, or export again")


def _span(layout: Layout, spans: VideoSpans, episode: int) -> Span:
    first = round(float(spans.from_timestamps[episode]) * layout.fps)
    return first, first + int(layout.lengths[episode])


def _write_changed(source: Path, target: Path, changes: Mapping[str, Mapping[int, Any]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = parquet.read_table(source, parquet.column_names(source))
    episodes = table["episode_index"].to_pylist()
    for name, values in changes.items():
        old = table[name]
        new = [values.get(e, value) for e, value in zip(episodes, old.to_pylist(), strict=True)]
        place = table.column_names.index(name)
        table = table.set_column(place, name, pa.array(new, old.type))
    target.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, target)

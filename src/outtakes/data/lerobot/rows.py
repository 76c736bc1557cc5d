"""The rows of a dataset's parquet files, in the order of a `DemoSet`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike

from outtakes.data.lerobot import parquet
from outtakes.data.lerobot.faults import CorruptEpisode, Faults, UnreadableFile
from outtakes.data.lerobot.layout import Layout
from outtakes.errors import DatasetError

STATE, ENVIRONMENT_STATE, ACTION = (
    "observation.state",
    "observation.environment_state",
    "action",
)

LARGEST = 1e10
"""No robot reports or is sent a larger number; garbage often is one."""

_INDEX = ("episode_index", "frame_index")


@dataclass(frozen=True)
class Rows:
    """Every frame of a dataset, ordered by episode, then by time."""

    columns: Mapping[str, np.ndarray]
    """Column name -> (R,) or (R, d)."""
    places: Mapping[str, np.ndarray]
    """Parquet file -> (its rows,) int64, where in the order each of its rows belongs; −1 for the
    rows of an episode that is left out."""

    @cached_property
    def _origins(self) -> tuple[list[str], np.ndarray, np.ndarray]:
        """The files; which of them each row is in, and where in it."""
        file_of, row_of = (np.zeros(len(self.columns["episode_index"]), np.int64) for _ in "ab")
        for number, places in enumerate(self.places.values()):
            inside = np.flatnonzero(places >= 0)
            file_of[places[inside]], row_of[places[inside]] = number, inside
        return list(self.places), file_of, row_of

    def found(self, first: int, count: int) -> Iterator[tuple[str, np.ndarray]]:
        """Where neighbouring rows are stored: a file, and their places in it, in order."""
        files, file_of, row_of = self._origins
        own, rows = file_of[first : first + count], row_of[first : first + count]
        for piece in np.split(np.arange(count), np.flatnonzero(np.diff(own)) + 1):
            yield files[own[piece[0]]], rows[piece]

    def vectors(self, name: str) -> np.ndarray:
        """(R, d) float32; d = 0 when the dataset lacks the column."""
        values = self.columns.get(name)
        if values is None:
            return np.zeros((len(self.columns["episode_index"]), 0), dtype=np.float32)
        return np.ascontiguousarray(values.reshape(len(values), -1), dtype=np.float32)


def stored_pictures(
    layout: Layout, rows: Rows, feature: str, first: int, count: int
) -> list[bytes]:
    """The encoded images of neighbouring rows; little more than they is read.

    Raises:
        DatasetError: when a file is damaged or an image is stored elsewhere.
    """
    images: list[bytes] = []
    for file, places in rows.found(first, count):
        start = int(places.min())
        span = int(places.max()) - start + 1
        found = parquet.image_rows(layout.root / file, feature, start, span)
        images += [found[place - start] for place in places.tolist()]
    return images


def read_rows(layout: Layout, wanted: Sequence[str], *, skip_bad: bool) -> tuple[Layout, Rows]:
    """Read these numeric columns, as far as the dataset has them.

    Args:
        layout: the dataset.
        wanted: columns beside those that place a row.
        skip_bad: leave corrupt episodes out.

    Returns:
        The layout of the episodes that were read, and their rows.

    Raises:
        CorruptEpisode: when a file is damaged, rows are missing or nothing indexes them, times do
            not ascend or leave the episode's piece of a video, or an observation or action is not
            finite or larger than `LARGEST`; unless corrupt episodes are left out.
        DatasetError: when episodes differ in shape, or the data are not those of the index.
    """
    while True:
        faults = Faults(skip=skip_bad)
        rows = _read_once(layout, wanted, faults)
        if rows is not None:
            return layout, rows
        layout = layout.without(faults.found)


def _read_once(layout: Layout, wanted: Sequence[str], faults: Faults) -> Rows | None:
    """None when there are faults."""
    for error in layout.unindexed:
        faults.report(error)
    index = [*_INDEX, *(["timestamp"] if layout.videos else [])]
    names = list(dict.fromkeys([*index, *(name for name in wanted if name in layout.features)]))
    damaged: dict[str, UnreadableFile] = {}
    files = {f: _read_file(layout, f, names, damaged) for f in layout.data_files}
    files = {file: columns for file, columns in files.items() if columns}
    if not files:
        _report_counts(layout, {}, damaged, faults)
        return None
    columns = {name: _joined(layout, name, files) for name in names}
    lengths = [len(file["episode_index"]) for file in files.values()]
    order = np.lexsort((columns["frame_index"], columns["episode_index"]))
    order = order[~np.isin(columns["episode_index"][order], list(layout.left_out))]
    file_of = np.repeat(np.arange(len(files)), lengths)
    order = _in_named_files(layout, list(files), file_of, columns["episode_index"], order)
    places = _places(list(files), lengths, order)
    columns = {name: values[order] for name, values in columns.items()}
    found = np.unique(columns["episode_index"], return_counts=True)
    counts = dict(zip(*(values.tolist() for values in found), strict=True))
    _report_counts(layout, counts, damaged, faults)
    if not faults.found:
        _check_order(layout, columns, faults)
        _check_times(layout, columns, faults)
        _check_values(layout, columns, faults)
    return None if faults.found else Rows(columns, places)


def _read_file(
    layout: Layout, file: str, names: Sequence[str], damaged: dict[str, UnreadableFile]
) -> dict[str, np.ndarray]:
    """The columns of one file; none when it is damaged, or not named by the index and no use."""
    path = layout.root / file
    try:
        table = parquet.read_table(path, [layout.stored(name) for name in names])
        columns = {name: parquet.numbers(table, layout.stored(name), path) for name in names}
    except DatasetError as error:
        if isinstance(error, UnreadableFile):
            damaged[file] = error
        elif file not in layout.stray_files:
            raise
        return {}
    for name in columns:
        kind = np.int64 if name in _INDEX else columns[name].dtype
        columns[name] = _as_kind(columns[name], kind, name, path)
    columns["episode_index"] += layout.index_offsets.get(file, 0)
    return columns


def _as_kind(values: np.ndarray, kind: DTypeLike, name: str, path: Path) -> np.ndarray:
    """(rows,) of what places a row, (rows, d) of everything else."""
    if name not in (*_INDEX, "timestamp"):
        return values.reshape(len(values), -1)
    if values.size != len(values) or not np.isfinite(values).all():
        raise DatasetError(
            f"{name} has empty values, or several in a frame",
            where=path,
            remedy="export the dataset again",
        )
    return values.reshape(-1).astype(kind)


def _joined(layout: Layout, name: str, files: Mapping[str, Mapping[str, np.ndarray]]) -> np.ndarray:
    (first, shape), *others = [(file, part[name].shape[1:]) for file, part in files.items()]
    for file, other in others:
        if other != shape:
            raise DatasetError(
                f"{name} of shape {other}, but {shape} in {first}",
                where=layout.root / file,
                remedy="every episode must record the same features; drop or repair those",
            )
    return np.concatenate([part[name] for part in files.values()])


def _in_named_files(
    layout: Layout,
    files: Sequence[str],
    file_of: np.ndarray,
    episode: np.ndarray,
    order: np.ndarray,
) -> np.ndarray:
    """The order without rows that are doubled: those in other files than the index names.

    A stale index may name the wrong file, so rows count wherever they are, unless there are too
    many.
    """
    indices, counts = np.unique(episode[order], return_counts=True)
    found = dict(zip(indices.tolist(), counts.tolist(), strict=True))
    told = zip(layout.episode_indices.tolist(), layout.lengths, layout.episode_files, strict=True)
    for index, length, file in told:
        if found.get(index, 0) > length and file in files:
            elsewhere = (episode[order] == index) & (file_of[order] != files.index(file))
            if found[index] - elsewhere.sum() == length:
                order = order[~elsewhere]
    return order


def _report_counts(
    layout: Layout,
    counts: Mapping[int, int],
    damaged: Mapping[str, UnreadableFile],
    faults: Faults,
) -> None:
    told = dict(zip(layout.episode_indices.tolist(), layout.lengths.tolist(), strict=True))
    files = dict(zip(layout.episode_indices.tolist(), layout.episode_files, strict=True))
    for index in sorted({*counts, *told}):
        count, expected = counts.get(index, 0), told.get(index, 0)
        file = files.get(index, "meta")
        error = damaged.get(file)
        if count != expected and error is not None:
            faults.report(
                CorruptEpisode(index, error.what, file=layout.root / file, remedy=error.remedy)
            )
        elif count != expected:
            faults.report(
                CorruptEpisode(
                    index,
                    f"episode {index} has {count} frames, the index tells {expected}",
                    file=layout.root / file,
                    remedy="data/ and meta/ do not belong together; export the dataset again",
                )
            )


def _report(
    layout: Layout, rows: np.ndarray, what: Callable[[int, int], str], remedy: str, faults: Faults
) -> None:
    """Report the first of these rows of each episode; `what` is told row and frame."""
    for i, row in _first_rows(layout, rows):
        faults.report(
            CorruptEpisode(
                layout.episode_indices[i],
                what(row, row - int(layout.starts[i])),
                file=layout.root / layout.episode_files[i],
                remedy=remedy,
            )
        )


def _check_order(layout: Layout, columns: Mapping[str, np.ndarray], faults: Faults) -> None:
    """Frames are numbered on from an episode's first, which need not be 0."""
    found = columns["frame_index"]
    first = np.repeat(found[layout.starts[:-1]], layout.lengths)
    expected = first + np.concatenate([np.arange(length) for length in layout.lengths])
    _report(
        layout,
        np.flatnonzero(found != expected),
        lambda row, _: f"frame_index {found[row]} where {expected[row]} belongs",
        "frames are missing or doubled; export the dataset again",
        faults,
    )


def _check_times(layout: Layout, columns: Mapping[str, np.ndarray], faults: Faults) -> None:
    """Times pick the pictures of a video: they must ascend, inside the episode's own piece."""
    if not layout.videos:
        return
    times = columns["timestamp"].astype(np.float64)
    stands = np.diff(times, prepend=-np.inf) <= 0
    stands[layout.starts[:-1]] = False
    _report(
        layout,
        np.flatnonzero(stands),
        lambda row, frame: (
            f"timestamp {times[row]:g} s at frame {frame} follows {times[row - 1]:g} s"
        ),
        "time must go on from frame to frame; record or export that episode again",
        faults,
    )
    half = 0.5 / layout.fps
    for name, spans in layout.videos.items():
        ends = np.repeat(spans.to_timestamps - spans.from_timestamps, layout.lengths)
        outside = (times < -half) | (times > ends - half)
        _report(
            layout,
            np.flatnonzero(outside),
            lambda row, frame, name=name, ends=ends: (
                f"frame {frame} is at {times[row]:g} s, its piece of the video of {name} "
                f"ends at {ends[row]:g} s"
            ),
            "the video lacks frames, or times do not begin with it; record that episode again",
            faults,
        )


def _check_values(layout: Layout, columns: Mapping[str, np.ndarray], faults: Faults) -> None:
    for name in (STATE, ENVIRONMENT_STATE, ACTION):
        values = columns.get(name, np.zeros((len(columns["episode_index"]), 0)))
        finite = np.isfinite(values).all(axis=1)
        _report(
            layout,
            np.flatnonzero(~finite),
            lambda _, frame, name=name: f"{name} is not finite at frame {frame}",
            "repair that episode",
            faults,
        )
        large = finite & (np.abs(values) > LARGEST).any(axis=1)
        _report(
            layout,
            np.flatnonzero(large),
            lambda row, frame, name=name, values=values: (
                f"{name} is {np.abs(values[row]).max():g} at frame {frame}, no robot's number"
            ),
            "repair that episode",
            faults,
        )


def _first_rows(layout: Layout, rows: np.ndarray) -> Iterator[tuple[int, int]]:
    """Place of each episode that has some of these rows, and its first of them."""
    places, first = np.unique(
        np.searchsorted(layout.starts, rows, side="right") - 1, return_index=True
    )
    yield from zip(places.tolist(), rows[first].tolist(), strict=True)


def _places(
    files: Sequence[str], lengths: Sequence[int], order: np.ndarray
) -> dict[str, np.ndarray]:
    place = np.full(sum(lengths), -1, dtype=np.int64)
    place[order] = np.arange(len(order))
    return dict(zip(files, np.split(place, np.cumsum(lengths)[:-1]), strict=True))

"""The rows of a dataset's parquet files, in the order of a `DemoSet`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from outtakes.data.lerobot import parquet
from outtakes.data.lerobot.faults import CorruptEpisode, Faults, UnreadableFile
from outtakes.data.lerobot.layout import Layout
from outtakes.errors import DatasetError

STATE, ENVIRONMENT_STATE, ACTION = (
    "observation.state",
    "observation.environment_state",
    "action",
)

_INDEX = ("episode_index", "frame_index", "timestamp")


@dataclass(frozen=True)
class Rows:
    """Every frame of a dataset, ordered by episode, then by time."""

    columns: Mapping[str, np.ndarray]
    """Column name -> (R,) or (R, d)."""
    places: Mapping[str, np.ndarray]
    """Parquet file -> (its rows,) int64, where in the order each of its rows belongs; −1 for the
    rows of an episode that is left out."""

    def vectors(self, name: str) -> np.ndarray:
        """(R, d) float32; d = 0 when the dataset lacks the column."""
        values = self.columns.get(name)
        if values is None:
            return np.zeros((len(self.columns["episode_index"]), 0), dtype=np.float32)
        return np.ascontiguousarray(values.reshape(len(values), -1), dtype=np.float32)


def read_rows(layout: Layout, wanted: Sequence[str], *, skip_bad: bool) -> tuple[Layout, Rows]:
    """Read these numeric columns, as far as the dataset has them.

    Args:
        layout: the dataset.
        wanted: columns beside those that place a row.
        skip_bad: leave corrupt episodes out.

    Returns:
        The layout of the episodes that were read, and their rows.

    Raises:
        CorruptEpisode: when a file is damaged, rows are missing or an observation or action is not
            finite; unless corrupt episodes are left out.
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
    names = list(dict.fromkeys([*_INDEX, *(name for name in wanted if name in layout.features)]))
    files = [_read_file(layout, file, names, faults) for file in layout.data_files]
    if faults.found:
        return None
    columns = {name: _joined(layout, name, [file[name] for file in files]) for name in names}
    order = np.lexsort((columns["frame_index"], columns["episode_index"]))
    order = order[~np.isin(columns["episode_index"][order], list(layout.left_out))]
    lengths = [len(file["episode_index"]) for file in files]
    places = _places(layout.data_files, lengths, order)
    columns = {name: values[order] for name, values in columns.items()}
    _check_counts(layout, columns["episode_index"], faults)
    if not faults.found:
        _check_order(layout, columns, faults)
        _check_finite(layout, columns, faults)
    return None if faults.found else Rows(columns, places)


def _read_file(
    layout: Layout, file: str, names: Sequence[str], faults: Faults
) -> dict[str, np.ndarray]:
    path = layout.root / file
    try:
        table = parquet.read_table(path, names)
    except UnreadableFile as error:
        for episode, its_file in zip(layout.episode_indices, layout.episode_files, strict=True):
            if its_file == file:
                faults.report(CorruptEpisode(episode, error.what, file=path, remedy=error.remedy))
        return {}
    columns = {name: parquet.numbers(table, name, path) for name in names}
    columns["episode_index"] = columns["episode_index"] + layout.index_offsets.get(file, 0)
    return columns


def _joined(layout: Layout, name: str, parts: Sequence[np.ndarray]) -> np.ndarray:
    for file, part in zip(layout.data_files, parts, strict=True):
        if part.shape[1:] != parts[0].shape[1:]:
            raise DatasetError(
                f"{name} of shape {part.shape[1:]}, but {parts[0].shape[1:]} in "
                f"{layout.data_files[0]}",
                where=layout.root / file,
                remedy="every episode must record the same features; drop or repair those",
            )
    return np.concatenate(parts)


def _check_counts(layout: Layout, episode: np.ndarray, faults: Faults) -> None:
    counts = dict(zip(*(a.tolist() for a in np.unique(episode, return_counts=True)), strict=True))
    told = dict(zip(layout.episode_indices.tolist(), layout.lengths.tolist(), strict=True))
    files = dict(zip(layout.episode_indices.tolist(), layout.episode_files, strict=True))
    for index in sorted({*counts, *told}):
        count, expected = counts.get(index, 0), told.get(index, 0)
        what = f"episode {index} has {count} frames, the index tells {expected}"
        remedy = "data/ and meta/episodes do not belong together; export the dataset again"
        if index not in told:
            raise DatasetError(what, where=layout.root, remedy=remedy)
        if count != expected:
            file = layout.root / files[index]
            faults.report(CorruptEpisode(index, what, file=file, remedy=remedy))


def _check_order(layout: Layout, columns: Mapping[str, np.ndarray], faults: Faults) -> None:
    found = columns["frame_index"]
    expected = np.concatenate([np.arange(length) for length in layout.lengths])
    for i, row in _first_rows(layout, np.flatnonzero(found != expected)):
        faults.report(
            CorruptEpisode(
                layout.episode_indices[i],
                f"frame_index {found[row]} where {expected[row]} belongs",
                file=layout.root / layout.episode_files[i],
                remedy="frames are missing or doubled; export the dataset again",
            )
        )


def _check_finite(layout: Layout, columns: Mapping[str, np.ndarray], faults: Faults) -> None:
    for name in (STATE, ENVIRONMENT_STATE, ACTION):
        values = columns.get(name, np.zeros(len(columns["episode_index"])))
        finite = np.isfinite(values.reshape(len(values), -1)).all(axis=1)
        for i, row in _first_rows(layout, np.flatnonzero(~finite)):
            faults.report(
                CorruptEpisode(
                    layout.episode_indices[i],
                    f"{name} is not finite at frame {row - layout.starts[i]}",
                    file=layout.root / layout.episode_files[i],
                    remedy="repair that episode",
                )
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

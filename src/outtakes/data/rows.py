"""The rows of a dataset's parquet files, in the order of a `DemoSet`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from outtakes.data import parquet
from outtakes.data.layout import Layout
from outtakes.data.outcomes import COLUMNS
from outtakes.errors import DatasetError

STATE, ENVIRONMENT_STATE, ACTION = (
    "observation.state",
    "observation.environment_state",
    "action",
)
EVERYTHING = (STATE, ENVIRONMENT_STATE, ACTION, *COLUMNS)
"""Every numeric column that Outtakes uses."""

_INDEX = ("episode_index", "frame_index", "timestamp")


@dataclass(frozen=True)
class Rows:
    """Every frame of a dataset, ordered by episode, then by time."""

    columns: Mapping[str, np.ndarray]
    """Column name -> (R,) or (R, d)."""
    places: Mapping[str, np.ndarray]
    """Parquet file -> (its rows,) int64, where in the order each of its rows belongs."""

    def vectors(self, name: str) -> np.ndarray:
        """(R, d) float32; d = 0 when the dataset lacks the column."""
        values = self.columns.get(name)
        if values is None:
            return np.zeros((len(self.columns["episode_index"]), 0), dtype=np.float32)
        return np.ascontiguousarray(values.reshape(len(values), -1), dtype=np.float32)


def read_rows(layout: Layout, wanted: Sequence[str] = EVERYTHING) -> Rows:
    """Read numeric columns and check them against the index.

    Args:
        layout: the dataset's index.
        wanted: which columns; those that the dataset lacks are left out.

    Raises:
        DatasetError: when a file is damaged, episodes differ in shape, or the rows are not those
            that the index tells.
    """
    names = [*_INDEX, *(name for name in wanted if name in layout.features)]
    files = [_read_file(layout, file, names) for file in layout.data_files]
    columns = {name: _joined(layout, name, [file[name] for file in files]) for name in names}
    order = np.lexsort((columns["frame_index"], columns["episode_index"]))
    columns = {name: values[order] for name, values in columns.items()}
    _check_index(layout, columns["episode_index"], columns["frame_index"])
    lengths = [len(file["episode_index"]) for file in files]
    return Rows(columns, _places(layout.data_files, lengths, order))


def _read_file(layout: Layout, file: str, names: Sequence[str]) -> dict[str, np.ndarray]:
    path = layout.root / file
    table = parquet.read_table(path, names)
    return {name: parquet.numbers(table, name, path) for name in names}


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


def _check_index(layout: Layout, episode: np.ndarray, frame: np.ndarray) -> None:
    counts = dict(zip(*(a.tolist() for a in np.unique(episode, return_counts=True)), strict=True))
    told = dict(zip(layout.episode_indices.tolist(), layout.lengths.tolist(), strict=True))
    for index in sorted({*counts, *told}):
        if counts.get(index, 0) != told.get(index, 0):
            raise DatasetError(
                f"episode {index} has {counts.get(index, 0)} frames, "
                f"the index tells {told.get(index, 0)}",
                where=layout.root,
                remedy="data/ and meta/episodes do not belong together; export the dataset again",
            )
    expected = np.concatenate([np.arange(length) for length in layout.lengths])
    if not np.array_equal(frame, expected):
        row = int(np.argmax(frame != expected))
        raise DatasetError(
            f"frame_index {frame[row]} where {expected[row]} belongs",
            where=f"{layout.root}, episode {episode[row]}",
            remedy="frames are missing or doubled; export the dataset again",
        )


def _places(
    files: Sequence[str], lengths: Sequence[int], order: np.ndarray
) -> dict[str, np.ndarray]:
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    return dict(zip(files, np.split(place, np.cumsum(lengths)[:-1]), strict=True))

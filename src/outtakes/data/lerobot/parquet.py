"""Columns of a dataset's parquet files as numpy arrays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from outtakes.data.lerobot.faults import UnreadableFile
from outtakes.errors import DatasetError, MachineError

if TYPE_CHECKING:
    import pyarrow as pa

IMAGE_BATCH = 64
"""Encoded images held in memory at once."""


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what pyarrow raises while it reads `path` into an `UnreadableFile`."""
    try:
        import pyarrow as pa
    except ModuleNotFoundError as error:
        raise MachineError(
            "reading a dataset needs pyarrow", remedy="pip install 'outtakes[data]'"
        ) from error
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        what = "missing" if isinstance(error, FileNotFoundError) else "truncated or damaged"
        raise UnreadableFile(
            f"parquet file is {what}", where=path, remedy="restore it, or export again"
        ) from error


def column_names(path: Path) -> list[str]:
    """The columns of a parquet file.

    Raises:
        DatasetError: when the file is missing or damaged.
    """
    with reading(path):
        import pyarrow.parquet as pq

        return pq.read_schema(path).names


def footer(path: Path) -> tuple[pa.Schema, int]:
    """The schema of a parquet file and its number of rows; no rows are read.

    Raises:
        DatasetError: when the file is missing or damaged.
    """
    with reading(path):
        import pyarrow.parquet as pq

        file = pq.ParquetFile(path)
        return file.schema_arrow, file.metadata.num_rows


def read_table(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """These columns of a parquet file, or all.

    Raises:
        DatasetError: when the file is missing or damaged or lacks a column.
    """
    with reading(path):
        import pyarrow.parquet as pq

        file = pq.ParquetFile(path)
        lacking = [name for name in columns or () if name not in file.schema_arrow.names]
        if not lacking:
            return file.read(columns=None if columns is None else list(columns))
    raise DatasetError(f"no column {lacking[0]}", where=path, remedy="export the dataset again")


def numbers(table: pa.Table, name: str, path: Path) -> np.ndarray:
    """One column as (rows,) or, for vectors, (rows, d); nested vectors are flattened.

    A value that is missing becomes NaN.

    Raises:
        DatasetError: when the vectors differ in length or the values are no numbers.
    """
    import pyarrow as pa
    import pyarrow.types as types

    column = table[name].combine_chunks()
    rows, scalar = len(column), True
    while is_list(column.type):
        _check_width(table, name, column, path)
        column, scalar = column.flatten(), False
    if isinstance(column, pa.ExtensionArray):
        column, scalar = column.storage.flatten(), False
    kind = column.type
    if not (types.is_boolean(kind) or types.is_integer(kind) or types.is_floating(kind)):
        raise DatasetError(
            f"column {name} holds no numbers", where=path, remedy="export the dataset again"
        )
    values = _plain(column)
    return values if scalar else values.reshape(rows, -1)


def is_list(kind: pa.DataType) -> bool:
    """Whether values of this type are lists, of whatever kind."""
    import pyarrow.types as types

    return types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)


def _plain(column: pa.Array) -> np.ndarray:
    """The numbers as numpy has them; floats when some are missing, 0 and 1 for truth values."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.types as types

    if types.is_boolean(column.type):
        column = column.cast(pa.uint8())
    if column.null_count:
        column = pc.call_function("coalesce", [column.cast(pa.float64()), pa.scalar(np.nan)])
    # Not `to_numpy`, which imports pandas: that takes longer than all else here.
    return np.from_dlpack(column)


def _check_width(table: pa.Table, name: str, column: pa.Array, path: Path) -> None:
    import pyarrow.compute as pc

    # NaN where a frame has no vector at all, which differs from every width, its own included.
    widths = _plain(pc.call_function("list_value_length", [column]))
    odd = np.flatnonzero(~(widths == widths[0]))
    if len(odd):
        row = int(odd[0])
        raise DatasetError(
            f"{name} has {widths[row]:g} values in one frame and {widths[0]:g} in others",
            where=f"{path}, episode {table['episode_index'][row]}",
            remedy="every episode must record the same features; drop or repair that one",
        )


def as_type(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    """The same values as another type; what is in lists of one is taken out where none belong."""
    import pyarrow as pa
    import pyarrow.compute as pc

    while is_list(column.type) and not (is_list(kind) or isinstance(kind, pa.ExtensionType)):
        column = pc.call_function("list_flatten", [column])
    return column if column.type == kind else column.cast(kind, safe=False)


def check_embedded(column: pa.ChunkedArray, path: Path, feature: str) -> None:
    """Refuse images that the file does not hold: nothing else is opened in their place.

    Raises:
        DatasetError: when there is one.
    """
    for image in column.to_pylist():
        _bytes(image, path, feature)


def image_bytes(path: Path, feature: str) -> Iterator[bytes]:
    """The encoded images of one column, row by row.

    Raises:
        DatasetError: when the file is damaged or an image is stored elsewhere.
    """
    with reading(path):
        import pyarrow.parquet as pq

        for batch in pq.ParquetFile(path).iter_batches(IMAGE_BATCH, columns=[feature]):
            for image in batch.column(0).to_pylist():
                yield _bytes(image, path, feature)


def image_rows(path: Path, feature: str, first: int, count: int) -> list[bytes]:
    """The encoded images of neighbouring rows; only the row groups they lie in are read.

    Raises:
        DatasetError: when the file is damaged or an image is stored elsewhere.
    """
    with reading(path):
        import pyarrow.parquet as pq

        file = pq.ParquetFile(path)
        sizes = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
        ends = np.cumsum(sizes)
        groups = np.flatnonzero((ends > first) & (ends - sizes < first + count)).tolist()
        column = file.read_row_groups(groups, columns=[feature]).column(0)
    skipped = first - int(ends[groups[0]] - sizes[groups[0]])
    images = column.slice(skipped, count).to_pylist()
    return [_bytes(image, path, feature) for image in images]


def _bytes(image: Mapping[str, Any] | None, path: Path, feature: str) -> bytes:
    content = image.get("bytes") if isinstance(image, dict) else None
    if not content:
        raise DatasetError(
            f"an image of {feature} is not in the file",
            where=path,
            remedy="export the dataset with its images embedded",
        )
    return content

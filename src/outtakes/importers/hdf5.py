"""HDF5 files, read without trusting them. The only module that imports h5py.

A file can point at other files: by external links, external storage and virtual datasets. Links
are looked at before they are followed and only hard ones are, so nothing outside the file is ever
opened; soft links, which may lead through external ones, are refused with them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from outtakes.errors import DatasetError

LARGEST_ARRAY = 16 * 2**30
"""Bytes; a few bytes of HDF5 can declare an array that no memory holds."""

_RESTORE = "restore the file, or leave the demonstration out with --skip-bad"
_UNTRUSTED = "copy what it points at into the file, or get the file from a source you trust"


_FILTERS = {
    307: "bzip2",
    32001: "blosc",
    32004: "lz4",
    32008: "bitshuffle",
    32013: "zfp",
    32015: "zstd",
    32026: "blosc2",
}
"""Registered number of a filter -> its name; all are in the package hdf5plugin."""


class Stored:
    """One array of a file, not yet read."""

    def __init__(self, dataset: Any, where: str) -> None:
        self._dataset, self.where = dataset, where
        with _reading(where):
            self.shape: tuple[int, ...] | None = dataset.shape
            self.dtype: np.dtype = dataset.dtype
            self._filters = _missing_filters(dataset)

    def __len__(self) -> int:
        return self.shape[0] if self.shape else 0

    def read(self, rows: slice = slice(None)) -> np.ndarray:
        """The values of these rows.

        Raises:
            DatasetError: when they are damaged, larger than memory, or packed by a filter that
            is not installed.
        """
        if self._filters:
            raise DatasetError(
                f"packed by the filter {' and '.join(self._filters)}, which is not installed",
                where=self.where,
                remedy="pip install hdf5plugin, or pack the file again with gzip (h5repack)",
            )
        size = int(np.prod(self.shape or (0,), dtype=np.float64)) * self.dtype.itemsize
        if size > LARGEST_ARRAY:
            raise DatasetError(
                f"an array of {size / 2**30:.0f} GiB", where=self.where, remedy=_RESTORE
            )
        with _reading(self.where):
            return self._dataset[rows]


class Node:
    """A group of a file, or the file itself."""

    def __init__(self, group: Any, file: Path) -> None:
        self._group, self.file = group, file

    @property
    def where(self) -> str:
        """File and group, for messages."""
        return self._place("")

    def _place(self, name: str) -> str:
        inside = f"{self._group.name or ''}/{name}".strip("/")
        return f"{self.file}, {inside}" if inside else str(self.file)

    def names(self) -> list[str]:
        """Names of what the group holds, numbers in them in numeric order."""
        with _reading(self.where):
            return sorted(self._group, key=natural_order)

    def __contains__(self, path: str) -> bool:
        return self._find(path) is not None

    def group(self, path: str) -> Node:
        """The group at a path below this one.

        Raises:
            DatasetError: when there is none.
        """
        found = self._find(path)
        if found is None or not hasattr(found, "keys"):
            raise self._missing("group", path)
        return Node(found, self.file)

    def holds_array(self, path: str) -> bool:
        """Whether there is an array at a path below this group."""
        found = self._find(path)
        return found is not None and hasattr(found, "shape")

    def array(self, path: str) -> Stored:
        """The array at a path below this group.

        Raises:
            DatasetError: when there is none, or it lies outside the file.
        """
        found = self._find(path)
        if found is None or not hasattr(found, "shape"):
            raise self._missing("array", path)
        if found.external or found.is_virtual:
            raise DatasetError(
                "the array is kept in another file", where=self._place(path), remedy=_UNTRUSTED
            )
        return Stored(found, self._place(path))

    def strings(self, path: str) -> list[str]:
        """A list of strings, such as demonstrations' names."""
        array = self.array(path)
        entries = array.read()
        if entries.ndim != 1 or entries.dtype.kind not in "OSU":
            raise DatasetError(
                f"{entries.dtype} where names belong",
                where=array.where,
                remedy="write a list of demonstrations' names there",
            )
        return [e.decode(errors="replace") if isinstance(e, bytes) else str(e) for e in entries]

    def attribute(self, name: str) -> Any:
        """A string, number or truth value; None when there is none of that name."""
        with _reading(self._place(f"@{name}")):
            value = self._group.attrs.get(name)
        if isinstance(value, bytes):
            return value.decode(errors="replace")
        return (
            value.item()
            if isinstance(value, np.generic | np.ndarray) and value.size == 1
            else value
        )

    def _missing(self, kind: str, path: str) -> DatasetError:
        parent = path.rpartition("/")[0]
        beside = self.group(parent) if parent and parent in self else self
        return DatasetError(
            f"no {kind} {path}, only {_listed(beside.names())}", where=self.where, remedy=_RESTORE
        )

    def _find(self, path: str) -> Any:
        found = self._group
        for depth, name in enumerate(parts := path.split("/")):
            with _reading(self._place(path)):
                if not hasattr(found, "keys") or not found.id.links.exists(name.encode()):
                    return None
                hard = _is_hard(found, name)
                place = self._place("/".join(parts[: depth + 1]))
                if not hard:
                    raise DatasetError(
                        "a link, which could lead out of the file", where=place, remedy=_UNTRUSTED
                    )
                found = found[name]
        return found


def _missing_filters(dataset: Any) -> list[str]:
    """The filters that packed an array and are not there to unpack it."""
    from h5py import h5z  # pyright: ignore[reportAttributeAccessIssue]

    plan = dataset.id.get_create_plist()
    packed = [plan.get_filter(i) for i in range(plan.get_nfilters())]
    return [
        _FILTERS.get(code) or f"{name.decode(errors='replace') or 'of number'} {code}".strip()
        for code, _, _, name in packed
        if not h5z.filter_avail(code)
    ]


def _is_hard(group: Any, name: str) -> bool:
    from h5py import h5l  # pyright: ignore[reportAttributeAccessIssue]

    return group.id.links.get_info(name.encode()).type == h5l.TYPE_HARD


@contextmanager
def open_hdf5(path: Path) -> Iterator[Node]:
    """Open a file for reading.

    Raises:
        DatasetError: when it is missing, not HDF5, or cut short.
    """
    import h5py

    with suppress(ModuleNotFoundError):
        # Where it is installed, its import makes its filters known to HDF5.
        import_module("hdf5plugin")
    if not path.is_file():
        raise DatasetError("no such file", where=path, remedy="check the path")
    with _reading(str(path)):
        if not h5py.is_hdf5(path):
            raise DatasetError("not an HDF5 file", where=path, remedy=_RESTORE)
        file = h5py.File(path, "r")
    with file:
        yield Node(file, path)


@contextmanager
def _reading(where: str) -> Iterator[None]:
    try:
        yield
    except MemoryError as error:
        raise DatasetError("larger than memory", where=where, remedy=_RESTORE) from error
    # What h5py raises for damage: OSError for broken data, the others for broken descriptions.
    except (OSError, KeyError, RuntimeError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise DatasetError(
            f"damaged or cut short ({reason})", where=where, remedy=_RESTORE
        ) from error


def natural_order(name: str) -> list[tuple[int, str]]:
    """Sorting key that puts demo_2 before demo_10."""
    pieces = re.findall(r"(\d*)(\D*)", name)
    return [(int(digits or 0), text) for digits, text in pieces if digits or text]


def _listed(names: Sequence[str], most: int = 12) -> str:
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "") or "nothing"

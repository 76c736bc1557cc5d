"""One camera's features on their way to disk, resumable after a kill at any moment."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from outtakes.errors import MachineError
from outtakes.files import DISK_FULL


class FeatureFile:
    """An (R, ...) float16 array on its way to disk, filled some rows at a time in any order.

    Rows go into `<path>.part` with plain writes; then, and once they are on the disk, they are
    marked in `<path>.done`. Whole, the file takes its name. Two processes may fill it at once:
    they write the same.

    Args:
        path: the .npy file.
        rows: R.

    Raises:
        MachineError: when the folder cannot be written or the disk is full.
    """

    def __init__(self, path: Path, rows: int) -> None:
        self.path, self.rows = path, rows
        self._part, self._marks = path.with_suffix(".part"), path.with_suffix(".done")
        self._shape: tuple[int, ...] | None = None
        self._first_row_at = 0
        self.whole = open_features(path, rows) is not None
        self.done = np.ones(rows, bool) if self.whole else self._found()

    def _found(self) -> np.ndarray:
        """(R,) bool, which rows an interrupted call left."""
        try:
            left = np.load(self._part, mmap_mode="r", allow_pickle=False)
            done = np.frombuffer(self._marks.read_bytes(), np.uint8).astype(bool)
            if left.dtype == np.float16 and len(left) == len(done) == self.rows:
                self._shape, self._first_row_at = left.shape[1:], left.offset
                return done
        # A part that was never begun, or that somebody has meddled with.
        except (OSError, ValueError, EOFError, AttributeError):
            pass
        return np.zeros(self.rows, bool)

    def write(self, rows: np.ndarray, values: np.ndarray) -> None:
        """Store (n, ...) float16 values of these rows."""
        try:
            if self._shape != values.shape[1:]:
                self._start(values.shape[1:])
            with self._part.open("r+b") as part:
                for row, value in zip(rows.tolist(), values, strict=True):
                    part.seek(self._first_row_at + row * value.nbytes)
                    part.write(value.tobytes())
                part.flush()
                os.fdatasync(part.fileno())
            with self._marks.open("r+b") as marks:
                for row in rows.tolist():
                    marks.seek(row)
                    marks.write(b"\1")
        except OSError as error:
            raise _unwritable(self.path, error) from error
        self.done[rows] = True

    def _start(self, shape: tuple[int, ...]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        header = {"descr": "<f2", "fortran_order": False, "shape": (self.rows, *shape)}
        with self._part.open("wb") as part:
            np.lib.format.write_array_header_1_0(part, header)
            self._shape, self._first_row_at = shape, part.tell()
            part.truncate(part.tell() + self.rows * int(np.prod(shape)) * 2)
        self._marks.write_bytes(bytes(self.rows))
        self.done[:] = False

    def finish(self) -> None:
        """Give the file its name, if every row is there."""
        if self.whole or not self.done.all():
            return
        try:
            self._part.replace(self.path)
        except FileNotFoundError:  # another process was sooner
            pass
        except OSError as error:
            raise _unwritable(self.path, error) from error
        self._marks.unlink(missing_ok=True)
        self.whole = True

    def discard(self) -> None:
        """Forget the rows of an interrupted call."""
        for file in (self._part, self._marks):
            file.unlink(missing_ok=True)


def open_features(path: Path, rows: int) -> np.ndarray | None:
    """A whole file's features, memory-mapped; None unless it is there and of so many rows."""
    try:
        features = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return features if features.dtype == np.float16 and len(features) == rows else None


def _unwritable(path: Path, error: OSError) -> MachineError:
    what = (
        "no space left for features"
        if error.errno in DISK_FULL
        else f"cannot write features ({error.strerror})"
    )
    return MachineError(
        what, where=path.parent, remedy="point OUTTAKES_CACHE at a folder with room"
    )

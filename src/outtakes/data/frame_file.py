"""One camera's frames on their way to disk."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO

import numpy as np

from outtakes.errors import DatasetError


class FrameFile:
    """An image array on its way to disk, filled one row at a time in any order.

    Written with plain writes, not through a memory map, so that a full disk is an error and not
    a dead process. A context manager; the file is whole when the block ends.

    Args:
        path: the .npy file.
        rows: R, frames in all.
    """

    def __init__(self, path: Path, rows: int) -> None:
        self.path, self.rows = path, rows
        self._shape: tuple[int, ...] | None = None
        self._first_frame_at = 0

    def __enter__(self) -> FrameFile:
        self._file = self.path.open("wb")
        return self

    def __exit__(self, *failure: object) -> None:
        with self._file:
            if failure == (None, None, None):
                flush(self._file)

    def write(self, row: int, frame: np.ndarray, where: str = "") -> None:
        """Store one (height, width, 3) uint8 frame, which comes from `where`.

        Raises:
            DatasetError: when its size differs from the first frame's.
        """
        if self._shape is None:
            self._start(frame.shape)
        if frame.shape != self._shape:
            raise DatasetError(
                f"a frame of shape {frame.shape} among frames of shape {self._shape}",
                where=where or self.path.stem,
                remedy="ask for an image size, or export the dataset at one size",
            )
        self._file.seek(self._first_frame_at + row * frame.nbytes)
        self._file.write(np.ascontiguousarray(frame, dtype=np.uint8).data)

    def _start(self, shape: tuple[int, ...]) -> None:
        header = {"descr": "|u1", "fortran_order": False, "shape": (self.rows, *shape)}
        np.lib.format.write_array_header_1_0(self._file, header)
        self._shape, self._first_frame_at = shape, self._file.tell()


def flush(file: IO[bytes]) -> None:
    """Push a file's content down to the disk, where a power cut leaves it whole."""
    file.flush()
    os.fsync(file.fileno())

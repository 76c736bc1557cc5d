"""Frames of a video or an encoded image as numpy arrays."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from outtakes.errors import DatasetError, MachineError

if TYPE_CHECKING:
    import av
    import av.container

TIMING_TOLERANCE = 0.25
"""How far a frame may lie from the time it is wanted at, in frame periods."""

RATE_TOLERANCE = 0.02
"""How far a video's frame rate may be from the dataset's, relatively."""


def frames_at(
    path: Path, times: np.ndarray, episodes: np.ndarray, fps: float
) -> Iterator[tuple[int, np.ndarray]]:
    """Decode a video once, from start to end, and yield the frames wanted.

    Args:
        path: the video.
        times: (K,) seconds from the start of the video.
        episodes: (K,) episode that each frame belongs to, for messages.
        fps: frames a second of the dataset.

    Yields:
        k and the (height, width, 3) uint8 frame at `times[k]`, in the order of the video.

    Raises:
        DatasetError: when the video is missing, damaged, of another frame rate or too short.
    """
    order = np.argsort(times, kind="stable")
    tolerance = TIMING_TOLERANCE / fps
    wanted = 0
    for time, frame in _decode(path, fps):
        while wanted < len(order) and times[order[wanted]] <= time + tolerance:
            k = int(order[wanted])
            if times[k] < time - tolerance:
                raise _no_frame(path, times[k], episodes[k])
            yield k, frame.to_ndarray(format="rgb24")
            wanted += 1
        if wanted == len(order):
            return
    k = int(order[wanted])
    raise _no_frame(path, times[k], episodes[k])


def _no_frame(path: Path, time: float, episode: int) -> DatasetError:
    return DatasetError(
        f"no frame at {time:.3f} s of the video",
        where=f"{path}, episode {episode}",
        remedy="the video is cut short or out of step with the data; restore it or export again",
    )


def _decode(path: Path, fps: float) -> Iterator[tuple[float, av.VideoFrame]]:
    try:
        import av
        import av.error
    except ModuleNotFoundError as error:
        raise MachineError(
            "decoding videos needs PyAV", remedy="pip install 'outtakes[data]'"
        ) from error
    if not path.is_file():
        raise DatasetError("missing video", where=path, remedy="restore it, or export again")
    try:
        with av.open(str(path)) as container:
            yield from _timed_frames(container, path, fps)
    except av.error.FFmpegError as error:
        raise DatasetError(
            f"video is truncated or damaged ({error.strerror})",
            where=path,
            remedy="restore it, or export the dataset again",
        ) from error


def _timed_frames(
    container: av.container.InputContainer, path: Path, fps: float
) -> Iterator[tuple[float, av.VideoFrame]]:
    if not container.streams.video:
        raise DatasetError("no video stream", where=path, remedy="export the dataset again")
    stream = container.streams.video[0]
    stream.thread_type = "AUTO"
    rate = stream.average_rate
    if rate is not None and abs(float(rate) / fps - 1) > RATE_TOLERANCE:
        raise DatasetError(
            f"video runs at {float(rate):g} frames a second, the dataset at {fps:g}",
            where=path,
            remedy="set fps in meta/info.json right, or encode the video again",
        )
    for frame in container.decode(stream):
        if frame.time is not None:
            yield frame.time, frame


def decode_image(content: bytes, where: str) -> np.ndarray:
    """(height, width, 3) uint8 of a PNG or JPEG file's bytes, which come from `where`.

    Raises:
        DatasetError: when they are neither, or are damaged.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content)) as image:
            return np.asarray(image.convert("RGB"))
    # Pillow raises SyntaxError and ValueError, too, for damaged files.
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DatasetError(
            f"an image cannot be decoded ({error})", where=where, remedy="export the dataset again"
        ) from error


def resize(frame: np.ndarray, size: int) -> np.ndarray:
    """Average over areas to (size, size, 3); an oblong frame is squeezed."""
    if frame.shape[:2] == (size, size):
        return frame
    from PIL import Image

    return np.asarray(Image.fromarray(frame).resize((size, size), Image.Resampling.BOX))

"""Frames of a video or an encoded image as numpy arrays."""

from __future__ import annotations

import io
import re
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from outtakes.data.lerobot.faults import CorruptEpisode, Faults, UnreadableFile
from outtakes.errors import DatasetError, MachineError

if TYPE_CHECKING:
    import av
    import av.container

TIMING_TOLERANCE = 0.25
"""How far a frame may lie from the time it is wanted at, in frame periods."""

RATE_TOLERANCE = 0.02
"""How far the time between a video's frames may be from the dataset's, relatively."""

_DEEP = re.compile(r"gray(f|\d{2})|ya16|grayf")
"""Pixel formats of one channel of more than 8 bits, which are measurements."""


def frames_at(
    path: Path, times: np.ndarray, episodes: np.ndarray, fps: float, faults: Faults
) -> Iterator[tuple[int, np.ndarray]]:
    """Decode a video once, from start to end, and yield the frames wanted.

    Args:
        path: the video.
        times: (K,) seconds from the start of the video.
        episodes: (K,) episode that each frame belongs to.
        fps: frames a second of the dataset.
        faults: told of every episode that lacks a frame.

    Yields:
        k and the (height, width, 3) uint8 frame at `times[k]`, in the order of the video.

    Raises:
        CorruptEpisode: when the video is missing, damaged or too short; unless faults are gathered.
        DatasetError: when it is of another frame rate, or holds distances.
    """
    waiting = deque(np.argsort(times, kind="stable").tolist())
    tolerance = TIMING_TOLERANCE / fps
    damage: UnreadableFile | None = None
    try:
        for time, frame in _decode(path, fps):
            while waiting and times[waiting[0]] < time - tolerance:
                k = waiting.popleft()
                faults.report(_no_frame(path, float(times[k]), int(episodes[k]), None))
            while waiting and times[waiting[0]] <= time + tolerance:
                yield waiting.popleft(), frame.to_ndarray(format="rgb24")
            if not waiting:
                return
    except UnreadableFile as error:
        damage = error
    for k in waiting:
        faults.report(_no_frame(path, float(times[k]), int(episodes[k]), damage))


def frame_times(path: Path) -> np.ndarray:
    """(frames,) seconds at which a video shows its frames, ascending; nothing is decoded.

    Raises:
        UnreadableFile: when the video is missing or damaged.
    """
    with _opened(path) as container:
        return _times(container, path)


def is_even(times: np.ndarray, fps: float) -> bool:
    """Whether frames at these times follow one another at this rate."""
    off = times - (times[0] + np.arange(len(times)) / fps)
    return bool(np.abs(off).max() <= TIMING_TOLERANCE / fps)


def check_end(
    path: Path, times: np.ndarray, episodes: np.ndarray, fps: float, faults: Faults
) -> None:
    """`check_frames` by the video's length alone, which its first bytes tell; one that cannot be
    opened is passed over."""
    try:
        with _opened(path) as container:
            stream = container.streams.video[0]
            shown = (stream.start_time or 0) + (stream.duration or 0)
            end = shown * float(stream.time_base or 0) if stream.duration else np.inf
    except (UnreadableFile, IndexError):
        return
    for k in np.flatnonzero(times > end - TIMING_TOLERANCE / fps).tolist():
        faults.report(_no_frame(path, float(times[k]), int(episodes[k]), None))


def check_frames(
    path: Path, times: np.ndarray, episodes: np.ndarray, fps: float, faults: Faults
) -> None:
    """Report every episode that lacks a frame in a video; nothing is decoded.

    Args:
        path: the video.
        times: (K,) seconds from the start of the video at which frames are wanted.
        episodes: (K,) episode that each belongs to.
        fps: frames a second of the dataset.
        faults: told of every episode that lacks a frame.

    Raises:
        CorruptEpisode: when one does; unless faults are gathered.
    """
    damage, shown = None, np.array([-np.inf])
    try:
        shown = frame_times(path)
    except UnreadableFile as error:
        damage = error
    after = np.searchsorted(shown, times).clip(1, max(1, len(shown) - 1))
    around = np.stack([shown[after - 1], shown[np.minimum(after, len(shown) - 1)]])
    off = np.abs(around - times).min(axis=0)
    for k in np.flatnonzero(~(off <= TIMING_TOLERANCE / fps)).tolist():
        faults.report(_no_frame(path, float(times[k]), int(episodes[k]), damage))


def _no_frame(
    path: Path, time: float, episode: int, damage: UnreadableFile | None
) -> CorruptEpisode:
    if damage is not None:
        return CorruptEpisode(episode, damage.what, file=path, remedy=damage.remedy)
    return CorruptEpisode(
        episode,
        f"no frame at {time:.3f} s of the video",
        file=path,
        remedy="the video is damaged or out of step with the data; restore it or export again",
    )


def _decode(path: Path, fps: float) -> Iterator[tuple[float, av.VideoFrame]]:
    with _opened(path) as container:
        yield from _timed_frames(container, path, fps)


@contextmanager
def _opened(path: Path) -> Iterator[av.container.InputContainer]:
    """A video, whatever goes wrong with it as an `UnreadableFile`."""
    try:
        import av
        import av.error
    except ModuleNotFoundError as error:
        raise MachineError(
            "decoding videos needs PyAV", remedy="pip install 'outtakes[data]'"
        ) from error
    if not path.is_file():
        raise UnreadableFile("missing video", where=path, remedy="restore it, or export again")
    try:
        with av.open(str(path)) as container:
            yield container
    except av.error.FFmpegError as error:
        raise UnreadableFile(
            f"video is truncated or damaged ({error.strerror})",
            where=path,
            remedy="restore it, or export the dataset again",
        ) from error


def _timed_frames(
    container: av.container.InputContainer, path: Path, fps: float
) -> Iterator[tuple[float, av.VideoFrame]]:
    from av import VideoFrame

    times = _times(container, path)
    stream = container.streams.video[0]
    stream.thread_type = "AUTO"
    if _DEEP.match(stream.codec_context.pix_fmt or ""):
        raise _distances(f"{stream.codec_context.pix_fmt} frames", path)
    _check_rate(times, path, fps)
    container.seek(0)
    for packet in container.demux(stream):
        for frame in _decoded(packet):
            if isinstance(frame, VideoFrame) and frame.time is not None and not frame.is_corrupt:
                yield frame.time, frame


def _times(container: av.container.InputContainer, path: Path) -> np.ndarray:
    if not container.streams.video:
        raise UnreadableFile("no video stream", where=path, remedy="export the dataset again")
    stream = container.streams.video[0]
    shown = [packet.pts for packet in container.demux(stream) if packet.pts is not None]
    return np.unique(shown) * float(stream.time_base or 1)


def _check_rate(times: np.ndarray, path: Path, fps: float) -> None:
    """Refuse a video of another frame rate, told by the usual time between two frames: a mean
    would be thrown by one frame that lasts longer."""
    if len(times) < 2:
        return
    rate = 1 / float(np.median(np.diff(times)))
    if abs(rate / fps - 1) > RATE_TOLERANCE:
        raise DatasetError(
            f"video runs at {rate:g} frames a second, the dataset at {fps:g}",
            where=path,
            remedy="set fps in meta/info.json right, or encode the video again",
        )


def _distances(what: str, where: str | Path) -> DatasetError:
    return DatasetError(
        f"{what} of one channel, more than 8 bits deep, are distances and no pictures",
        where=where,
        remedy="name the other cameras with --cameras, or set is_depth_map in meta/info.json",
    )


def _decoded(packet: av.Packet) -> Sequence[object]:
    """The frames that come out when a packet goes in; a damaged one gives none, which shows."""
    from av.error import InvalidDataError

    try:
        return packet.decode()
    except InvalidDataError:
        return ()


def decode_image(content: bytes, where: str | Path) -> np.ndarray:
    """(height, width, 3) uint8 of a PNG or JPEG file's bytes, found at `where`.

    Raises:
        DatasetError: when they are distances, which a picture would clip.
        UnreadableFile: when they are neither, or are damaged.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content)) as image:
            if image.mode[0] in "IF":
                raise _distances(f"pixels of type {image.mode}", where)
            return np.asarray(image.convert("RGB"))
    # Pillow raises SyntaxError and ValueError, too, for damaged files.
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UnreadableFile(
            f"an image cannot be decoded ({error})", where=where, remedy="export the dataset again"
        ) from error


def resize(frame: np.ndarray, size: int) -> np.ndarray:
    """Average over areas to (size, size, 3); an oblong frame is squeezed."""
    if frame.shape[:2] == (size, size):
        return frame
    from PIL import Image

    return np.asarray(Image.fromarray(frame).resize((size, size), Image.Resampling.BOX))

"""Frames of a video or an encoded image as numpy arrays."""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Iterator, Sequence
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
"""How far a video's frame rate may be from the dataset's, relatively."""


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
        DatasetError: when it is of another frame rate.
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
            yield from _timed_frames(container, path, fps)
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
    for packet in container.demux(stream):
        for frame in _decoded(packet):
            if isinstance(frame, VideoFrame) and frame.time is not None and not frame.is_corrupt:
                yield frame.time, frame


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
        DatasetError: when it has more than 8 bits a channel, as depth has.
        UnreadableFile: when they are neither, or are damaged.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content)) as image:
            if image.mode.startswith(("I", "F")):
                raise DatasetError(
                    f"an image of more than 8 bits a channel ({image.mode})",
                    where=where,
                    remedy="leave that camera out with --cameras, or convert it to 8 bits",
                )
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

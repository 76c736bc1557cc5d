"""Videos and thumbnails that a browser plays from disk."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, Interpolation
from PIL import Image

from outtakes.files import unwritable, write_atomically

_SMALLEST_VIDEO = 288
_THUMBNAIL = 160
_X264 = {"crf": "21", "preset": "veryfast", "bf": "0"}
_BT_709 = 1  # its number among the colour primaries and transfer curves of ISO/IEC 23091-2


def write_video(path: Path, frames: np.ndarray, fps: float) -> Path:
    """Write frames as an H.264 mp4, and the first one beside it as the poster.

    Frame i is shown from i/fps to (i + 1)/fps seconds, exactly. Frames of fewer than 288 pixels a
    side are enlarged, so that a person sees something.

    Args:
        path: where to, ending in .mp4.
        frames: (T, height, width, 3) uint8 RGB; a memory map is read one frame at a time.
        fps: frames a second.

    Returns:
        The path.

    Raises:
        MachineError: when the folder is not writable or the disk is full.
    """
    _check_frames(frames)
    write_atomically(path, lambda temporary: _encode(temporary, frames, fps))
    _save_image(poster_path(path), frames[0], _video_size(frames))
    return path


def poster_path(video: Path) -> Path:
    """Where `write_video` leaves the first frame of a video."""
    return video.with_suffix(".jpg")


def write_thumbnails(folder: Path, name: str, frames: np.ndarray, count: int = 7) -> Sequence[Path]:
    """Write `count` evenly spaced frames, first and last included, as small JPEGs.

    Args:
        folder: where to.
        name: what the file names begin with.
        frames: (T, height, width, 3) uint8 RGB.
        count: how many; fewer when there are fewer frames.

    Returns:
        The paths, first frame to last.

    Raises:
        MachineError: when the folder is not writable or the disk is full.
    """
    _check_frames(frames)
    height, width = frames.shape[1:3]
    scale = _THUMBNAIL / min(height, width)
    size = round(width * scale), round(height * scale)
    chosen = np.unique(np.linspace(0, len(frames) - 1, count).round().astype(int))
    paths = [folder / f"{name}-{i:04d}.jpg" for i in chosen]
    for i, path in zip(chosen, paths, strict=True):
        _save_image(path, frames[i], size)
    return paths


def _check_frames(frames: np.ndarray) -> None:
    if frames.ndim != 4 or frames.shape[3] != 3 or frames.dtype != np.uint8 or not len(frames):
        raise ValueError(
            f"expected (T, height, width, 3) uint8 frames, T > 0; got {frames.shape} {frames.dtype}"
        )


def _video_size(frames: np.ndarray) -> tuple[int, int]:
    """(width, height) in pixels: large enough to see, and even, as yuv420p needs."""
    height, width = frames.shape[1:3]
    scale = max(1.0, _SMALLEST_VIDEO / min(height, width))
    return 2 * round(width * scale / 2), 2 * round(height * scale / 2)


def _encode(path: Path, frames: np.ndarray, fps: float) -> None:
    rate = Fraction(fps).limit_denominator(1001)
    # A key frame every second or so lets a reader scrub without waiting; no B-frames, so that
    # the first frame is at time 0 and none is held back.
    options = _X264 | {"g": str(max(1, round(fps)))}
    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=rate, options=options)
        stream.width, stream.height = _video_size(frames)
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = 1 / rate
        _tag_colours(stream.codec_context)
        for i, image in enumerate(frames):
            container.mux(stream.encode(_as_frame(image, i, stream)))
        container.mux(stream.encode(None))


def _tag_colours(codec: av.VideoCodecContext) -> None:
    """Say that the colours are BT.709; players guess otherwise, each its own way."""
    codec.colorspace, codec.color_range = Colorspace.ITU709, ColorRange.MPEG
    codec.color_primaries = codec.color_trc = _BT_709


def _as_frame(image: np.ndarray, i: int, stream: av.VideoStream) -> av.VideoFrame:
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24").reformat(
        stream.width,
        stream.height,
        "yuv420p",
        dst_colorspace=Colorspace.ITU709,
        interpolation=Interpolation.BICUBIC,
    )
    frame.pts = i
    return frame


def _save_image(path: Path, image: np.ndarray, size: tuple[int, int]) -> None:
    resized = Image.fromarray(image).resize(size, Image.Resampling.BICUBIC)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        resized.save(path, quality=85)
    except OSError as error:
        raise unwritable(path, error) from error

"""Frames as a new video file, encoded as LeRobot does it."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import numpy as np

from outtakes.data.lerobot.write import quiet_encoders


def encode(
    path: Path,
    frames: Iterable[np.ndarray],
    fps: float,
    *,
    codec: str = "libsvtav1",
    options: dict[str, str] | None = None,
) -> None:
    """Write a video.

    Args:
        path: the new file.
        frames: (height, width, 3) uint8 each, one after the other.
        fps: frames a second.
        codec: name of an encoder of FFmpeg.
        options: of the encoder; LeRobot's for AV1 when None.
    """
    import av
    from av.video.stream import VideoStream

    quiet_encoders()
    rate = Fraction(fps).limit_denominator(100_000)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate, options or {"g": "2", "crf": "30"})
        assert isinstance(stream, VideoStream)
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = 1 / rate
        for i, frame in enumerate(frames):
            if i == 0:
                stream.height, stream.width = frame.shape[:2]
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
            picture.pts, picture.time_base = i, 1 / rate
            container.mux(stream.encode(picture))
        container.mux(stream.encode())

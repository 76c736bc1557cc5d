"""Episodes cut out of a video file without encoding anything again.

LeRobot encodes each episode by itself and puts the streams behind one another, so an episode
begins at a key frame and refers to no frame outside itself. Its packets can then be copied as they
are. Where that is not so, nothing is cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from outtakes.data.lerobot.faults import UnreadableFile
from outtakes.files import DISK_FULL, unwritable

if TYPE_CHECKING:
    import av
    from av.video.stream import VideoStream

Span = tuple[int, int]
"""First frame of an episode in its video, and the one after its last."""


def cut(source: Path, target: Path, spans: Sequence[Span], fps: float) -> bool:
    """Copy these episodes of a video, one behind the other, packet by packet.

    Args:
        source: a video with frames at multiples of 1 / `fps`.
        target: the new file.
        spans: the episodes, in the order of the new file.
        fps: frames a second.

    Returns:
        Whether it could be done; if not, there is no new file.

    Raises:
        UnreadableFile: when the video is missing or damaged, or lacks a frame of these episodes.
        MachineError: when the new file cannot be written.
    """
    import av.error

    if not source.is_file():
        raise UnreadableFile("missing video", where=source, remedy="restore it, or export again")
    try:
        return _cut(source, target, spans, fps)
    except av.error.FFmpegError as error:
        if error.errno in DISK_FULL:
            raise unwritable(target, OSError(error.errno, error.strerror)) from error
        raise _damaged(source, error.strerror) from error
    except IndexError as error:
        raise _damaged(source, "no video stream") from error


def _damaged(source: Path, why: object) -> UnreadableFile:
    return UnreadableFile(
        f"video is truncated or damaged ({why})",
        where=source,
        remedy="restore it, or export the dataset again",
    )


def _cut(source: Path, target: Path, spans: Sequence[Span], fps: float) -> bool:
    import av

    with av.open(str(source)) as container:
        stream = container.streams.video[0]
        # The last "packet" of a stream only flushes the decoder and has no time.
        packets = [p for p in container.demux(stream) if p.pts is not None and p.dts is not None]
        numbers = [_frame_number(packet, stream, fps) for packet in packets]
        _check_frames(source, numbers, spans)
        runs = [_run(packets, numbers, span) for span in spans]
        chosen = [packet for run in runs for packet in run]
        if not all(runs) or not _placed(runs, stream, fps):
            return False
        with av.open(str(target), "w", options={"movflags": "faststart"}) as out:
            copy = out.add_stream_from_template(stream, opaque=True)
            copy.time_base = stream.time_base
            for packet in chosen:
                packet.stream = copy
                out.mux(packet)
    return True


def _check_frames(source: Path, numbers: Sequence[int], spans: Sequence[Span]) -> None:
    there = set(numbers)
    for first, end in spans:
        missing = [number for number in range(first, end) if number not in there]
        if missing:
            raise _damaged(source, f"no frame {missing[0]}")


def _run(packets: Sequence[av.Packet], numbers: Sequence[int], span: Span) -> list[av.Packet]:
    """The packets of one episode, in the order of decoding; none when they need others."""
    first, end = span
    start = numbers.index(first)
    run = list(packets[start : start + end - first])
    whole = sorted(numbers[start : start + end - first]) == list(range(first, end))
    return run if whole and run[0].is_keyframe else []


def _frame_number(packet: av.Packet, stream: VideoStream, fps: float) -> int:
    assert packet.pts is not None and stream.time_base is not None
    return round(packet.pts * stream.time_base * Fraction(fps))


def _placed(runs: Sequence[Sequence[av.Packet]], stream: VideoStream, fps: float) -> bool:
    """Move each episode to the end of the one before; whether decoding times then ascend."""
    assert stream.time_base is not None
    done, last = 0, None
    for run in runs:
        shown = run[0].pts
        assert shown is not None
        shift = round(done / Fraction(fps) / stream.time_base) - shown
        for packet in run:
            assert packet.pts is not None and packet.dts is not None
            packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
            if last is not None and packet.dts <= last:
                return False
            last = packet.dts
        done += len(run)
    return True

from __future__ import annotations

from contextlib import closing
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from outtakes.errors import MachineError
from outtakes.report.media import poster_path, write_thumbnails, write_video
from tests.report.example import moving_square


def decode(path: Path) -> list[av.VideoFrame]:
    with closing(av.open(str(path))) as container:
        return list(container.decode(video=0))


def as_rgb(frame: av.VideoFrame) -> np.ndarray:
    # PyAV decodes as BT.601 unless the two colour spaces are told apart.
    return frame.reformat(
        format="rgb24", src_colorspace="ITU709", dst_colorspace="DEFAULT"
    ).to_ndarray()


@pytest.mark.parametrize("fps", [20.0, 10.0, 30000 / 1001, 12.5])
def test_frame_i_is_at_i_over_fps(tmp_path: Path, fps: float) -> None:
    frames = decode(write_video(tmp_path / "v.mp4", moving_square(0, 33), fps))
    rate = Fraction(fps).limit_denominator(1001)
    assert [frame.time_base for frame in frames] == [frames[0].time_base] * 33
    assert frames[0].time_base is not None
    times = [(frame.pts or 0) * frames[0].time_base for frame in frames]
    assert times == [i / rate for i in range(33)]


def test_last_frame_lasts_as_long_as_the_others(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4", moving_square(0, 30), 20.0)
    with av.open(str(path)) as container:
        assert container.duration == 1_500_000  # microseconds


def test_browsers_can_play_it(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4", moving_square(0, 5), 20.0)
    with av.open(str(path)) as container:
        codec = container.streams.video[0].codec_context
        assert (codec.name, codec.pix_fmt) == ("h264", "yuv420p")
    with closing(av.open(str(path))) as container:
        order = [(packet.pts, packet.dts) for packet in container.demux(video=0)]
    assert all(pts == dts for pts, dts in order)  # no frame is held back behind a later one
    boxes = (tmp_path / "v.mp4").read_bytes()
    assert boxes.index(b"moov") < boxes.index(b"mdat")  # playable before it is read to the end


def test_pictures_survive(tmp_path: Path) -> None:
    original = moving_square(0, 12, side=320)
    frames = decode(write_video(tmp_path / "v.mp4", original, 20.0))
    for frame, expected in zip(frames, original, strict=True):
        assert np.abs(as_rgb(frame).astype(int) - expected).mean() < 3


@pytest.mark.parametrize("colour", [(200, 30, 30), (30, 200, 30), (30, 30, 200)])
def test_colours_survive(tmp_path: Path, colour: tuple[int, int, int]) -> None:
    frames = np.full((3, 288, 288, 3), colour, dtype=np.uint8)
    first, *_ = decode(write_video(tmp_path / "v.mp4", frames, 20.0))
    assert np.abs(as_rgb(first)[144, 144].astype(int) - colour).max() <= 4


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [(96, 96, (288, 288)), (48, 64, (384, 288)), (301, 403, (404, 300)), (480, 640, (640, 480))],
)
def test_small_frames_are_enlarged_and_sizes_are_even(
    tmp_path: Path, height: int, width: int, expected: tuple[int, int]
) -> None:
    frames = np.zeros((2, height, width, 3), np.uint8)
    path = write_video(tmp_path / "v.mp4", frames, 20.0)
    first, _ = decode(path)
    assert (first.width, first.height) == expected
    with Image.open(poster_path(path)) as poster:
        assert poster.size == expected


def test_poster_is_the_first_frame(tmp_path: Path) -> None:
    frames = moving_square(0, 4, side=288)
    with Image.open(poster_path(write_video(tmp_path / "v.mp4", frames, 20.0))) as poster:
        assert np.abs(np.asarray(poster).astype(int) - frames[0]).mean() < 3


def test_thumbnails_run_from_first_frame_to_last(tmp_path: Path) -> None:
    frames = np.arange(50, dtype=np.uint8)[:, None, None, None] * np.full((64, 64, 3), 5, np.uint8)
    paths = write_thumbnails(tmp_path, "episode-3", frames, count=3)
    assert [path.name for path in paths] == [f"episode-3-{i:04d}.jpg" for i in (0, 24, 49)]
    for path, value in zip(paths, (0, 120, 245), strict=True):
        with Image.open(path) as image:
            assert np.asarray(image).mean() == pytest.approx(value, abs=3)


def test_a_single_frame_gives_a_single_thumbnail(tmp_path: Path) -> None:
    assert len(write_thumbnails(tmp_path, "one", moving_square(0, 1), count=5)) == 1


def test_refuses_what_is_not_a_video(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected \(T, height, width, 3\) uint8"):
        write_video(tmp_path / "v.mp4", np.zeros((3, 8, 8, 3), np.float32), 20.0)


def test_an_unwritable_folder_is_the_users_to_mend(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(MachineError):
        write_video(tmp_path / "file" / "v.mp4", moving_square(0, 2), 20.0)
    with pytest.raises(MachineError):
        write_thumbnails(tmp_path / "file", "v", moving_square(0, 2))

"""Corrupt episodes: named without `skip_bad`, left out and listed with it, never silently."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from outtakes.data.lerobot.read import read_dataset, read_evidence
from outtakes.data.lerobot.write import write_dataset
from outtakes.data.reading import Reading
from outtakes.data.recording import Recording
from outtakes.errors import DatasetError
from tests.data.episodes import LENGTHS
from tests.data.lerobot.test_damage import cut_in_half, edit_column, only
from tests.data.lerobot.varied import Camera, Robot, record
from tests.data.same import CODEC_LOSS

SKIP = Reading(skip_bad=True)
STARTS = np.concatenate([[0], np.cumsum(LENGTHS)])
ALL = set(range(len(LENGTHS)))


def spoil_action(root: Path) -> None:
    def spoil(actions: list) -> list:
        actions[STARTS[1] + 4][2] = float("nan")
        actions[STARTS[3]][0] = float("inf")
        return actions

    edit_column(only(root, "data/*/*.parquet"), "action", spoil)


def drop_a_row(root: Path) -> None:
    path = only(root, "data/*/*.parquet")
    table = pq.read_table(path)
    pq.write_table(table.filter(np.arange(len(table)) != STARTS[2] + 3), path)


def double_a_frame(root: Path) -> None:
    def double(frames: list) -> list:
        frames[STARTS[5] + 2] = 1
        return frames

    edit_column(only(root, "data/*/*.parquet"), "frame_index", double)


def shift_in_the_video(root: Path) -> None:
    column = "videos/observation.images.overhead/from_timestamp"
    edit_column(
        only(root, "meta/episodes/*/*.parquet"), column, lambda t: [*t[:4], t[4] + 0.03, t[5]]
    )


def garble_the_video(root: Path) -> None:
    """Overwrite what is stored of some frames in the middle of the third episode."""
    path = only(root, "videos/*/*/*.mp4")
    wanted = float(STARTS[2] + LENGTHS[2] // 2) / 20
    at = min((abs(time - wanted), place) for time, place in packets(path))[1]
    content = bytearray(path.read_bytes())
    content[at : at + 40] = b"\xff" * 40
    path.write_bytes(content)


def packets(path: Path) -> list[tuple[float, int]]:
    """Time and place in the file of everything in a video."""
    import av

    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        found = [
            (float(packet.pts * (stream.time_base or 1)), packet.pos)
            for packet in container.demux(stream)
            if packet.pts is not None and packet.pos is not None
        ]
    return found  # pyright: ignore[reportPossiblyUnboundVariable]


DAMAGES: dict[str, tuple[Callable[[Path], None], set[int], str]] = {
    "NaN and infinite actions": (spoil_action, {1, 3}, "action is not finite at frame 4"),
    "a missing row": (drop_a_row, {2}, "episode 2 has 19 frames, the index tells 20"),
    "a doubled frame": (double_a_frame, {5}, "frame_index 1 where"),
    "out of step with the video": (shift_in_the_video, {4}, "its piece of the video"),
    "a garbled video": (garble_the_video, {2}, "no frame at"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_corrupt_episode_is_named(damage: str, dataset: Path) -> None:
    break_it, episodes, what = DAMAGES[damage]
    break_it(dataset)
    with pytest.raises(DatasetError) as caught:
        read_dataset(dataset)
    message = str(caught.value)
    assert what in message and f"episode {min(episodes)}" in message and "--skip-bad" in message
    assert any(name in message for name in (".parquet", ".mp4")) and "\n" not in message


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_corrupt_episode_is_left_out_and_listed(
    damage: str, dataset: Path, pristine: Path
) -> None:
    break_it, episodes, what = DAMAGES[damage]
    break_it(dataset)
    found = read_dataset(dataset, SKIP)
    expected = read_dataset(pristine).subset(sorted(ALL - episodes))
    for name in ("episode_indices", "successes", "lengths"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    own, rows = found.rows(), expected.rows()
    for name in ("state", "action"):
        np.testing.assert_array_equal(getattr(found, name)[own], getattr(expected, name)[rows])
    pictures = expected.images["overhead"][rows]
    difference = found.images["overhead"][own].astype(float) - pictures
    assert np.abs(difference).mean() < CODEC_LOSS
    assert set(found.provenance.skipped) == episodes
    assert what in found.provenance.skipped[min(episodes)]


def test_what_was_left_out_is_not_forgotten(dataset: Path) -> None:
    """The frame cache of a read that left episodes out serves no read that may not."""
    spoil_action(dataset)
    first = read_dataset(dataset, SKIP)
    assert read_dataset(dataset, SKIP).provenance == first.provenance
    with pytest.raises(DatasetError, match=r"action is not finite.*--skip-bad"):
        read_dataset(dataset)


def test_a_sound_dataset_is_the_same_with_the_flag(pristine: Path) -> None:
    one, other = read_dataset(pristine), read_dataset(pristine, SKIP)
    assert one.content_hash == other.content_hash
    assert other.provenance.skipped == {}


def test_labels_of_episodes_that_are_left_out_do_no_harm(dataset: Path) -> None:
    spoil_action(dataset)
    (dataset / "episode_labels.json").write_text('{"0": "failure", "1": "success"}')
    found = read_dataset(dataset, SKIP)
    assert found.provenance.outcome_sources == {"episode_labels.json": 1, "next.success": 3}
    drop_a_row(dataset)
    assert 2 in read_evidence(dataset, SKIP).left_out


@pytest.fixture
def files_of_two(tmp_path: Path, recordings: list[Recording]) -> Path:
    """A dataset whose last two episodes have a video and a parquet file of their own."""
    root = write_dataset(tmp_path / "two", recordings, fps=20)
    path, cut = only(root, "data/*/*.parquet"), int(STARTS[4])
    table = pq.read_table(path)
    pq.write_table(table.slice(0, cut), path)
    pq.write_table(table.slice(cut), path.with_name("file-001.parquet"))
    later = write_dataset(tmp_path / "later", recordings[4:], fps=20)
    clip = only(root, "videos/*/*/*.mp4")
    shutil.copy(only(later, "videos/*/*/*.mp4"), clip.with_name("file-001.mp4"))
    index = only(root, "meta/episodes/*/*.parquet")
    prefix = "videos/observation.images.overhead"
    edit_column(index, "data/file_index", lambda files: [*files[:4], 1, 1])
    edit_column(index, f"{prefix}/file_index", lambda files: [*files[:4], 1, 1])
    edit_column(index, f"{prefix}/from_timestamp", lambda t: [*t[:4], 0.0, LENGTHS[4] / 20])
    return root


@pytest.mark.parametrize("kind", ["data/*/file-001.parquet", "videos/*/*/file-001.mp4"])
@pytest.mark.parametrize("damage", [cut_in_half, Path.unlink])
def test_a_file_that_is_lost_takes_its_episodes_along(
    kind: str, damage: Callable[[Path], None], files_of_two: Path
) -> None:
    assert read_dataset(files_of_two).episode_indices.tolist() == list(range(6))
    path = only(files_of_two, kind)
    damage(path)
    found = read_dataset(files_of_two, SKIP)
    assert found.episode_indices.tolist() == [0, 1, 2, 3]
    assert set(found.provenance.skipped) == {4, 5}
    assert all(path.name in why for why in found.provenance.skipped.values())
    assert found.images["overhead"].shape[0] == STARTS[4]


def test_nothing_left_is_refused(dataset: Path) -> None:
    only(dataset, "videos/*/*/*.mp4").unlink()
    with pytest.raises(DatasetError, match=r"every episode is corrupt: missing video"):
        read_dataset(dataset, SKIP)


def test_a_stored_image_that_is_none(tmp_path: Path) -> None:
    robot = Robot(cameras={"observation.images.a": Camera(40, 40, "image")}, lengths=(5, 6, 7))
    root = record(tmp_path / "pictures", robot)
    path = only(root, "data/*/*.parquet")
    table = pq.read_table(path)
    images = table["observation.images.a"].to_pylist()
    images[7] = {"bytes": b"no picture", "path": None}
    column = pa.array(images, table.schema.field("observation.images.a").type)
    place = table.schema.get_field_index("observation.images.a")
    pq.write_table(table.set_column(place, table.schema.field(place), column), path)
    with pytest.raises(DatasetError, match=r"image cannot be decoded.*episode 1.*--skip-bad"):
        read_dataset(root)
    found = read_dataset(root, SKIP)
    assert found.episode_indices.tolist() == [0, 2]
    assert set(found.provenance.skipped) == {1}
    np.testing.assert_array_equal(
        found.images["a"][5:], [robot.frame(2, t)["observation.images.a"] for t in range(7)]
    )


def test_whole_videos_of_another_rate_are_no_corrupt_episode(
    dataset: Path, recordings: list[Recording], tmp_path: Path
) -> None:
    """Leaving everything out would hide what is wrong."""
    faster = write_dataset(tmp_path / "faster", recordings, fps=30)
    shutil.copy(only(faster, "videos/*/*/*.mp4"), only(dataset, "videos/*/*/*.mp4"))
    with pytest.raises(DatasetError, match="30 frames a second"):
        read_dataset(dataset, SKIP)

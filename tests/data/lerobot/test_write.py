"""What is written comes back, to LeRobot too, or nothing is left."""

from __future__ import annotations

import gc
import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from outtakes.data.demo import Outcome
from outtakes.data.lerobot.metadata import RECORDINGS, read_metadata
from outtakes.data.lerobot.read import read_dataset
from outtakes.data.lerobot.write import join_datasets, write_dataset
from outtakes.data.recording import Recording
from outtakes.errors import DatasetError, MachineError
from tests.data.episodes import LENGTHS, frame, recording
from tests.data.same import assert_frames_match


def lerobot_dataset(root: Path) -> Any:
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    return LeRobotDataset("local/test", root=root, video_backend="pyav", return_uint8=True)


# Round trip


def test_numbers_come_back_bit_for_bit(pristine: Path, recordings: list[Recording]) -> None:
    demos = read_dataset(pristine)
    for feature, array in (
        ("observation.state", demos.state),
        ("observation.environment_state", demos.environment_state),
        ("action", demos.action),
    ):
        written = np.concatenate([r.features[feature] for r in recordings])
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, written)
    assert demos.lengths.tolist() == list(LENGTHS)
    assert demos.fps == 20.0
    assert list(demos.tasks) == ["lift the cube"] * 6


def test_outcomes_come_back(pristine: Path) -> None:
    demos = read_dataset(pristine)
    assert demos.episodes(Outcome.SUCCESS) == [0, 2, 4]
    assert demos.episodes(Outcome.FAILURE) == [1, 3, 5]


def test_every_frame_comes_back_in_its_place(pristine: Path) -> None:
    assert_frames_match(read_dataset(pristine))


def test_metadata_come_back(pristine: Path) -> None:
    assert read_metadata(pristine) == {e: {"seed": e, "strategy": "grasp"} for e in range(6)}


def test_datasets_of_others_have_no_metadata(dataset: Path) -> None:
    (dataset / RECORDINGS).unlink()
    assert read_metadata(dataset) == {}


def test_damaged_metadata_are_refused(dataset: Path) -> None:
    (dataset / RECORDINGS).write_text('{"seed": 1}\n')
    with pytest.raises(DatasetError, match="metadata"):
        read_metadata(dataset)


def test_lerobot_opens_it_and_sees_the_same(pristine: Path) -> None:
    demos, theirs = read_dataset(pristine), lerobot_dataset(pristine)
    assert len(theirs) == len(demos.action)
    assert theirs.meta.robot_type == "panda"
    for row in range(0, len(theirs), 5):
        item = theirs[row]
        ours = demos.images["overhead"][row].transpose(2, 0, 1)
        np.testing.assert_array_equal(item["observation.images.overhead"].numpy(), ours)
        np.testing.assert_array_equal(item["observation.state"].numpy(), demos.state[row])
        np.testing.assert_array_equal(item["action"].numpy(), demos.action[row])
        assert item["task"] == "lift the cube"


def test_names_of_dimensions_are_stored(tmp_path: Path) -> None:
    names = {"action": [f"axis_{i}" for i in range(7)]}
    root = write_dataset(tmp_path / "d", [recording(0, 5)], fps=20, names=names)
    info = json.loads((root / "meta" / "info.json").read_text())
    assert info["features"]["action"]["names"] == names["action"]


def test_one_short_episode_is_a_dataset(tmp_path: Path) -> None:
    demos = read_dataset(write_dataset(tmp_path / "d", [recording(0, 2)], fps=20))
    assert (len(demos), demos.lengths.tolist()) == (1, [2])


def test_a_dataset_without_cameras_is_read(tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "d", [recording(e, 5, cameras=()) for e in (0, 1)], fps=20)
    demos = read_dataset(root)
    assert demos.images == {}
    assert demos.state.shape == (10, 14)


# Writing


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "precious").write_text("mine")
    with pytest.raises(DatasetError, match="something there already"):
        write_dataset(tmp_path / "d", [recording(0, 5)], fps=20)
    assert (tmp_path / "d" / "precious").read_text() == "mine"


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    assert len(read_dataset(write_dataset(tmp_path / "d", [recording(0, 5)], fps=20))) == 1


def test_no_recordings_are_no_dataset(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no recordings"):
        write_dataset(tmp_path / "d", [], fps=20)
    assert list(tmp_path.iterdir()) == []


def test_an_interruption_leaves_nothing(tmp_path: Path) -> None:
    def interrupted() -> Iterator[Recording]:
        yield recording(0, 5)
        yield recording(1, 5)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_dataset(tmp_path / "d", interrupted(), fps=20)
    assert list(tmp_path.iterdir()) == []


def test_progress_counts_episodes(tmp_path: Path) -> None:
    counted: list[int] = []
    write_dataset(
        tmp_path / "d", [recording(e, 4) for e in range(3)], fps=20, progress=counted.append
    )
    assert counted == [1, 2, 3]


def with_feature(name: str, array: np.ndarray) -> Recording:
    original = recording(0, 5)
    return replace(original, features={**original.features, name: array})


@pytest.mark.parametrize(
    ("second", "complaint"),
    [
        (with_feature("action", np.zeros((5, 8), np.float32)), "recording 1 has features"),
        (with_feature("extra", np.zeros((5, 8), np.float32)), "recording 1 has features"),
    ],
)
def test_recordings_of_another_shape_are_refused(
    tmp_path: Path, second: Recording, complaint: str
) -> None:
    with pytest.raises(DatasetError, match=complaint):
        write_dataset(tmp_path / "d", [recording(0, 5), second], fps=20)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("first", "complaint"),
    [
        (with_feature("action", np.zeros((5, 7))), "action is float64"),
        (with_feature("action", np.zeros((5, 0), np.float32)), "action is float32 of shape"),
        (with_feature("observation.images.a", np.zeros((5, 24, 64, 3), np.uint8)), "24 x 64 pix"),
        (recording(0, 1), "recording 0 has one frame"),
    ],
)
def test_features_that_lerobot_cannot_store_are_refused(
    tmp_path: Path, first: Recording, complaint: str
) -> None:
    with pytest.raises(DatasetError, match=complaint):
        write_dataset(tmp_path / "d", [first], fps=20)


def test_odd_sizes_are_stored(tmp_path: Path) -> None:
    name = "observation.images.overhead"
    cropped = with_feature(name, recording(0, 5).features[name][:, :37, :45])
    demos = read_dataset(write_dataset(tmp_path / "d", [cropped], fps=20))
    assert np.abs(demos.images["overhead"][0] - frame(0, 0)[:37, :45].astype(int)).mean() < 12


@contextmanager
def files_at_most(size: int) -> Iterator[None]:
    """No file may grow beyond `size` bytes, as on a disk that is filling up."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("size", [200, 1000, 6000, 30_000])
def test_a_full_disk_is_an_error_in_words(tmp_path: Path, size: int) -> None:
    with pytest.raises(MachineError, match="no space left on the disk"), files_at_most(size):
        write_dataset(tmp_path / "d", [recording(e, 20) for e in range(6)], fps=20)
    gc.collect()
    assert list(tmp_path.iterdir()) == []


# Joining


def test_joined_parts_are_the_dataset_written_at_once(
    pristine: Path, recordings: list[Recording], tmp_path: Path, capfd: pytest.CaptureFixture
):
    parts = [
        write_dataset(tmp_path / f"part-{i}", recordings[start:stop], fps=20)
        for i, (start, stop) in enumerate([(0, 1), (1, 4), (4, 6)])
    ]
    capfd.readouterr()
    joined = join_datasets(parts, tmp_path / "joined")
    assert capfd.readouterr().err == ""
    assert read_metadata(joined) == read_metadata(pristine)
    for ours, theirs in zip(read_dataset(joined), read_dataset(pristine), strict=True):
        assert ours.episode_index == theirs.episode_index and ours.outcome == theirs.outcome
        for name in ("state", "environment_state", "action"):
            np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))
        np.testing.assert_array_equal(ours.images["overhead"], theirs.images["overhead"])

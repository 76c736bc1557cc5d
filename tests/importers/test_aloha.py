"""ALOHA's folders become LeRobot datasets, whatever way their images are kept."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pyarrow.parquet as pq
import pytest

from outtakes.data.demo import Outcome
from outtakes.data.lerobot.read import read_dataset
from outtakes.errors import ConfigError, DatasetError, OuttakesError
from tests.data.episodes import LENGTHS, frame
from tests.importers.aloha_files import jpeg, write_episode, write_episodes
from tests.importers.conftest import Import
from tests.importers.robomimic_files import opened


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_episodes(tmp_path / "pick_cube")


def line(imported: Import, folder: Path, **settings: object) -> str:
    with pytest.raises(OuttakesError) as caught:
        imported(folder, **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("compress", [False, True], ids=["plain", "compressed"])
def test_every_episode_arrives_as_it_was(compress: bool, imported: Import, tmp_path: Path):
    folder = write_episodes(tmp_path / "pick_cube", compress=compress)
    manifest = imported(folder, outcome="failure")
    assert manifest.count(Outcome.FAILURE) == len(LENGTHS)
    dataset = read_dataset(tmp_path / "dataset")
    assert list(dataset.lengths) == list(LENGTHS) and dataset.fps == 50
    for demo in dataset:
        with opened(folder / f"episode_{demo.episode_index}.hdf5", "r") as file:
            state = file["observations/qpos"][:].astype(np.float32)
            np.testing.assert_array_equal(demo.state, state)
            np.testing.assert_array_equal(demo.action, file["action"][:])
        for t, image in enumerate(demo.images["top"]):
            assert np.abs(image.astype(int) - frame(demo.episode_index, t)).mean() < 4


def test_velocity_and_effort_come_along_for_other_trainers(
    imported: Import, folder: Path, tmp_path: Path
):
    imported(folder, outcome="success")
    rows = pq.read_table(tmp_path / "dataset" / "data")
    with opened(folder / "episode_0.hdf5", "r") as file:
        for column, name in (("observation.velocity", "qvel"), ("observation.effort", "effort")):
            first = np.array(rows[column].to_pylist()[: LENGTHS[0]], np.float32)
            np.testing.assert_array_equal(first, file[f"observations/{name}"][:].astype("f4"))
    info = json.loads((tmp_path / "dataset" / "meta" / "info.json").read_text())
    assert info["robot_type"] == "aloha"


def test_images_kept_as_lists_of_their_own_length(imported: Import, folder: Path):
    for episode in range(len(LENGTHS)):
        with opened(folder / f"episode_{episode}.hdf5") as file:
            film = file["observations/images/top"][:]
            del file["observations/images/top"]
            rows = file.create_dataset(
                "observations/images/top", (len(film),), h5py.vlen_dtype(np.uint8)
            )
            for t, image in enumerate(film):
                rows[t] = np.frombuffer(jpeg(image), np.uint8)
    assert imported(folder, outcome="success").count(Outcome.SUCCESS) == len(LENGTHS)


# Outcomes


def test_folders_tell_outcomes(imported: Import, tmp_path: Path):
    for name, episode in (("success", 2), ("success", 10), ("failure", 2)):
        write_episode(tmp_path / "droid" / name / f"episode_{episode}.hdf5", episode, 5)
    manifest = imported(tmp_path / "droid")
    assert [(entry.demo, entry.outcome, entry.outcome_source) for entry in manifest.imported] == [
        ("failure/episode_2.hdf5", "failure", "folder failure"),
        ("success/episode_2.hdf5", "success", "folder success"),
        ("success/episode_10.hdf5", "success", "folder success"),
    ]


def test_folders_and_the_user_do_not_contradict_each_other(imported: Import, tmp_path: Path):
    write_episode(tmp_path / "droid" / "success" / "episode_0.hdf5", 0, 5)
    assert "tell the outcomes already" in line(imported, tmp_path / "droid", outcome="failure")


def test_labels_go_by_the_number_of_the_file(imported: Import, folder: Path, tmp_path: Path):
    (folder / "episode_0.hdf5").rename(folder / "episode_17.hdf5")
    labels = tmp_path / "episode_labels.json"
    labels.write_text('{"17": "success", "2": "success"}')
    manifest = imported(folder, labels=labels, outcome="failure")
    successes = [e.demo for e in manifest.imported if e.outcome is Outcome.SUCCESS]
    assert successes == ["episode_2.hdf5", "episode_17.hdf5"]


@pytest.mark.parametrize(
    ("content", "what"), [('{"99": "success"}', "'99'"), ("[]", "list"), ("{", "cannot read")]
)
def test_labels_that_do_not_fit(
    content: str, what: str, imported: Import, folder: Path, tmp_path: Path
):
    (tmp_path / "labels.json").write_text(content)
    assert what in line(imported, folder, labels=tmp_path / "labels.json")
    with pytest.raises(ConfigError, match="no such label file"):
        imported(folder, labels=tmp_path / "label.json")


def test_nothing_is_guessed_where_nothing_tells(imported: Import, folder: Path):
    message = line(imported, folder)
    assert "no outcome" in message and "episode_0.hdf5" in message and "--outcome" in message


# Damage


def test_a_file_cut_short_is_named_or_skipped(imported: Import, folder: Path):
    path = folder / "episode_3.hdf5"
    path.write_bytes(path.read_bytes()[:2000])
    assert str(path) in line(imported, folder, outcome="success")
    manifest = imported(folder, outcome="success", skip_bad=True)
    assert [entry.demo for entry in manifest.skipped] == ["episode_3.hdf5"]
    assert len(manifest.imported) == len(LENGTHS) - 1


def test_the_first_file_may_be_the_bad_one(imported: Import, folder: Path):
    (folder / "episode_0.hdf5").write_text("hello")
    assert "not an HDF5 file" in line(imported, folder, outcome="success")
    manifest = imported(folder, outcome="success", skip_bad=True)
    assert [entry.demo for entry in manifest.skipped] == ["episode_0.hdf5"]


@pytest.mark.parametrize(
    ("lost", "what"),
    [(slice(400, None), "a JPEG file without its end"), (slice(None), "cannot be decoded")],
)
def test_a_damaged_image_is_named(lost: slice, what: str, imported: Import, tmp_path: Path):
    folder = write_episodes(tmp_path / "pick_cube", compress=True)
    with opened(folder / "episode_4.hdf5") as file:
        file["observations/images/top"][6, lost] = 0
    message = line(imported, folder, outcome="success")
    assert what in message and "episode_4.hdf5" in message
    assert "frame 6" in message and "--skip-bad" in message


def test_a_jpeg_of_another_size_is_named(imported: Import, tmp_path: Path):
    folder = write_episodes(tmp_path / "pick_cube", compress=True)
    with opened(folder / "episode_1.hdf5") as file:
        small = np.frombuffer(jpeg(frame(1, 3)[:40, :40]), np.uint8)
        rows = file["observations/images/top"]
        rows[3, :] = 0
        rows[3, : len(small)] = small
    assert "frame 3 has shape (40, 40, 3)" in line(imported, folder, outcome="success")


def test_files_elsewhere_are_not_left_out_in_silence(imported: Import, folder: Path):
    shutil.copytree(folder, folder / "more")
    assert "folders of other names" in line(imported, folder, outcome="success")


def test_an_empty_folder_and_a_lone_file(imported: Import, folder: Path, tmp_path: Path):
    (tmp_path / "empty").mkdir()
    assert "no episodes" in line(imported, tmp_path / "empty")
    with pytest.raises(DatasetError, match="give the folder"):
        imported(folder / "episode_0.hdf5")

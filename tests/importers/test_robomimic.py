"""robomimic's files become the dataset that `outtakes collect` would have written."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pyarrow.parquet as pq
import pytest

from outtakes.data.demo import Outcome
from outtakes.data.lerobot.episode_index import read_layout
from outtakes.data.lerobot.read import read_dataset
from outtakes.errors import ConfigError, DatasetError
from tests.data.episodes import LENGTHS, frame
from tests.importers.conftest import Import
from tests.importers.robomimic_files import STATE, add_mask, opened, without_rewards, write_demos

S, F = Outcome.SUCCESS, Outcome.FAILURE


def outcomes(manifest) -> list[tuple[Outcome, str]]:
    return [(entry.outcome, entry.outcome_source) for entry in manifest.imported]


# What is imported


def test_every_demonstration_arrives_as_it_was(demos: Path, imported: Import, tmp_path: Path):
    imported(demos)
    dataset = read_dataset(tmp_path / "dataset")
    assert list(dataset.lengths) == list(LENGTHS) and dataset.fps == 20
    with opened(demos, "r") as file:
        for demo in dataset:
            stored = file[f"data/demo_{demo.episode_index}"]
            state = np.concatenate([stored[f"obs/{key}"][:] for key in STATE], axis=1)
            np.testing.assert_array_equal(demo.state, state.astype(np.float32))
            objects = stored["obs/object"][:].astype(np.float32)
            np.testing.assert_array_equal(demo.environment_state, objects)
            np.testing.assert_array_equal(demo.action, stored["actions"][:].astype(np.float32))
            for t, image in enumerate(demo.images["agentview"]):
                error = np.abs(image.astype(int) - frame(demo.episode_index, t))
                assert error.mean() < 4


def test_next_success_tells_every_solved_frame(imported: Import, demos: Path, tmp_path: Path):
    imported(demos)
    table = pq.read_table(tmp_path / "dataset" / "data")
    solved = np.array(table["next.success"].to_pylist()).ravel()
    episodes = np.array(table["episode_index"].to_pylist())
    for episode, length in enumerate(LENGTHS):
        expected = (np.arange(length) >= length - 2) & (episode % 2 == 0)
        np.testing.assert_array_equal(solved[episodes == episode], expected)


def test_the_dataset_says_where_it_comes_from(imported: Import, demos: Path, tmp_path: Path):
    manifest = imported(demos)
    content = json.loads((tmp_path / "dataset" / "meta" / "import.json").read_text())
    assert content == {"kind": "import", "version": 1, **manifest.content}
    assert content["source"] == str(demos) and content["task"] == "nut assembly square"
    assert content["features"]["observation.state"] == [f"obs/{key}" for key in STATE]
    assert (content["successes"], content["failures"], content["skipped"]) == (3, 3, [])
    assert content["episodes"][2] == {
        "episode_index": 2,
        "demo": "demo_2",
        "outcome": "success",
        "outcome_source": "rewards",
        "frames": LENGTHS[2],
    }
    info = json.loads((tmp_path / "dataset" / "meta" / "info.json").read_text())
    assert info["robot_type"] == "panda"
    assert info["features"]["observation.state"]["names"][:2] == [
        "robot0_joint_pos_0",
        "robot0_joint_pos_1",
    ]
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_observations_and_settings_are_the_users_to_choose(
    imported: Import, demos: Path, tmp_path: Path
):
    imported(demos, state=("robot0_joint_vel",), environment_state=(), cameras=(), fps=10, task="x")
    (demo, *_), layout = read_dataset(tmp_path / "dataset"), read_layout(tmp_path / "dataset")
    assert demo.state.shape[1] == 7 and demo.environment_state.shape[1] == 0
    assert demo.images == {} and layout.fps == 10 and set(layout.tasks) == {"x"}


@pytest.mark.parametrize("choice", ["state", "environment_state", "cameras", "success_mask"])
def test_a_name_that_is_not_there_is_refused(imported: Import, demos: Path, choice: str):
    value = "objct" if choice == "success_mask" else ("objct",)
    with pytest.raises(ConfigError, match=r"unknown .* 'objct'"):
        imported(demos, **{choice: value})


def test_many_demonstrations_are_numbered_in_numeric_order(imported: Import, tmp_path: Path):
    path = write_demos(tmp_path / "many.hdf5", images=False, lengths=tuple(range(2, 25)))
    manifest = imported(path)
    assert [entry.demo for entry in manifest.imported] == [f"demo_{i}" for i in range(23)]
    dataset = read_dataset(tmp_path / "dataset")
    assert list(dataset.lengths) == list(range(2, 25))
    assert list(dataset.episode_indices) == list(range(23))


# Outcomes


def test_masks_go_before_rewards(imported: Import, demos: Path):
    add_mask(demos, "success", ["demo_1"])
    add_mask(demos, "failed", ["demo_0", "demo_2"])
    assert outcomes(imported(demos))[:4] == [
        (F, "mask/failed"),
        (S, "mask/success"),
        (F, "mask/failed"),
        (F, "rewards"),
    ]


def test_a_lone_mask_tells_the_others_by_their_absence(imported: Import, demos: Path):
    add_mask(demos, "good", ["demo_1"])
    manifest = imported(demos, success_mask="good")
    assert outcomes(manifest)[:2] == [(F, "not in mask/good"), (S, "mask/good")]
    assert manifest.count(S) == 1


def test_both_masks_at_once_are_a_contradiction(imported: Import, demos: Path):
    add_mask(demos, "success", ["demo_1"])
    add_mask(demos, "failure", ["demo_1"])
    with pytest.raises(DatasetError, match="demo_1 is in both mask/success and mask/failure"):
        imported(demos)


def test_the_reward_threshold_is_the_users_to_choose(imported: Import, demos: Path):
    assert imported(demos, reward_threshold=1.5).count(S) == 0


def test_the_attribute_comes_last(imported: Import, demos: Path):
    without_rewards(demos)
    with opened(demos) as file:
        for i, demo in enumerate(file["data"].values()):
            demo.attrs["success"] = i == 4
    assert [outcome for outcome, _ in outcomes(imported(demos))] == [F, F, F, F, S, F]


def test_the_user_has_the_last_word(imported: Import, demos: Path, tmp_path: Path):
    (tmp_path / "labels.json").write_text('{"1": "success"}')
    manifest = imported(demos, labels=tmp_path / "labels.json", outcome="failure")
    assert outcomes(manifest)[:2] == [(F, "--outcome"), (S, "--labels")]
    assert manifest.count(S) == 1


def test_nothing_is_guessed_where_nothing_tells(imported: Import, demos: Path):
    without_rewards(demos)
    with pytest.raises(DatasetError, match=r"no outcome; .*mask/success.*rewards.*data/demo_0"):
        imported(demos)


def test_rewards_that_are_all_zero_or_nan_tell_nothing(imported: Import, demos: Path):
    for value in (0.0, np.nan):
        with opened(demos) as file:
            for demo in file["data"].values():
                demo["rewards"][:] = value
        with pytest.raises(DatasetError, match=r"no outcome; .*rewards other than 0.*--outcome"):
            imported(demos)


def test_rewards_may_be_a_column(imported: Import, demos: Path):
    with opened(demos) as file:
        for demo in file["data"].values():
            rewards = demo["rewards"][:]
            del demo["rewards"]
            demo["rewards"] = rewards[:, None]
    assert imported(demos).count(S) == 3


# Cameras under other names


def test_whatever_holds_pictures_is_a_camera(imported: Import, demos: Path, tmp_path: Path):
    with opened(demos) as file:
        for episode, demo in enumerate(file["data"].values()):
            film = np.stack([frame(episode, t) for t in range(len(demo["actions"]))])
            demo["obs/eye_in_hand_rgb"] = film
            demo["obs/gray"] = film[..., :1]
            demo["obs/with_alpha"] = np.concatenate([film, film[..., :1]], axis=3)
            demo["obs/depth"] = film[..., 0].astype(np.uint16)
    imported(demos)
    found = read_dataset(tmp_path / "dataset")[2].images
    assert set(found) == {"agentview", "eye_in_hand_rgb", "gray", "with_alpha"}
    for name, images in found.items():
        for t, image in enumerate(images):
            expected = frame(2, t).astype(int)
            if name == "gray":
                expected = np.repeat(expected[..., :1], 3, axis=2)
            assert np.abs(image.astype(int) - expected).mean() < 4, name


def test_liberos_names(imported: Import, demos: Path, tmp_path: Path):
    with opened(demos) as file:
        words = {"language_instruction": "put the bowl on the plate"}
        file["data"].attrs["problem_info"] = json.dumps(words)
        for demo in file["data"].values():
            for old, new in (("robot0_joint_pos", "joint_states"), ("robot0_eef_pos", "ee_states")):
                demo["obs"].move(old, new)
            for key in ("robot0_eef_quat", "robot0_gripper_qpos", "robot0_joint_vel"):
                del demo[f"obs/{key}"]
    assert imported(demos).facts.task == "put the bowl on the plate"
    assert read_dataset(tmp_path / "dataset").state.shape[1] == 7 + 3


def test_a_filter_that_is_not_installed_is_named(imported: Import, demos: Path):
    with opened(demos) as file:
        demo = file["data/demo_1"]
        length = len(demo["actions"])
        del demo["actions"]
        plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plan.set_chunk((length, 7))
        plan.set_filter(32999, h5py.h5z.FLAG_OPTIONAL, ())
        space = h5py.h5s.create_simple((length, 7))
        made = h5py.h5d.create(demo.id, b"actions", h5py.h5t.IEEE_F64LE, space, plan)
        made.write_direct_chunk((0, 0), np.zeros((length, 7)).tobytes())
    with pytest.raises(DatasetError, match=r"packed by the filter .*32999.*demo_1.*hdf5plugin"):
        imported(demos)

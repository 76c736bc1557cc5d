"""Successes and failures in a dataset each, read as one."""

from __future__ import annotations

import shlex
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from outtakes.data.demo import Outcome
from outtakes.data.lerobot.read import read_dataset
from outtakes.data.reading import Reading
from outtakes.errors import DatasetError
from outtakes.evaluation.recommendation import Recommendation
from tests.commands import done, fingerprint, refused
from tests.data.lerobot.test_damage import edit_column, only
from tests.data.lerobot.varied import Camera, Robot, record

FAILURES = Robot(
    cameras={
        "observation.images.top": Camera(48, 64),
        "observation.images.wrist": Camera(40, 40, "image"),
    },
    lengths=(12, 9),
    outcome="next.reward",
    outcome_type="float32",
    tasks=("drop",),
)
SUCCESSES = replace(FAILURES, lengths=(10, 7, 8), tasks=("fold", "unfold"))


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two datasets side by side, which no test may change."""
    folder = tmp_path_factory.mktemp("pair")
    record(folder / "failure", FAILURES)
    record(folder / "success", SUCCESSES)
    return folder


@pytest.fixture
def pair(recorded: Path, tmp_path: Path) -> Path:
    """A copy of both, free to be broken."""
    return Path(shutil.copytree(recorded, tmp_path / "pair"))


def test_two_folders_are_one_dataset(recorded: Path) -> None:
    before = fingerprint(recorded)
    both = read_dataset(recorded)
    parts = [
        read_dataset(recorded / n, Reading(outcome_from="next.reward"))
        for n in ("success", "failure")
    ]
    assert fingerprint(recorded) == before
    assert both.episode_indices.tolist() == [0, 1, 2, 3, 4]
    assert both.episodes(Outcome.SUCCESS) == [0, 1, 2]
    assert both.provenance.outcome_sources == {"folders": 5}
    assert list(both.tasks) == ["fold", "unfold", "fold", "drop", "drop"]
    for name in ("state", "action"):
        joined = np.concatenate([getattr(part, name) for part in parts])
        np.testing.assert_array_equal(getattr(both, name), joined)
    for camera in ("top", "wrist"):
        joined = np.concatenate([part.images[camera] for part in parts])
        np.testing.assert_array_equal(both.images[camera], joined)


def test_labels_overrule_the_folders(pair: Path) -> None:
    (pair / "episode_labels.json").write_text('{"3": "success"}')
    assert read_dataset(pair).episodes(Outcome.SUCCESS) == [0, 1, 2, 3]
    assert read_dataset(pair, Reading(outcome_from="folders")).episodes(Outcome.FAILURE) == [3, 4]
    # The reward says that the even ones of each folder succeeded.
    by_reward = read_dataset(pair, Reading(outcome_from="next.reward"))
    assert by_reward.episodes(Outcome.SUCCESS) == [0, 2, 3]


def test_a_changed_file_of_either_is_seen(pair: Path) -> None:
    first = read_dataset(pair)
    path = only(pair, "failure/data/*/*.parquet")
    edit_column(path, "action", lambda actions: [[0.5] * 6, *actions[1:]])
    changed = read_dataset(pair)
    assert changed.content_hash != first.content_hash
    assert changed.action[first.starts[3]].tolist() == [0.5] * 6


def test_a_corrupt_episode_of_the_second_is_left_out(pair: Path) -> None:
    path = only(pair, "failure/data/*/*.parquet")
    edit_column(path, "action", lambda actions: [*actions[:-1], [float("nan")] * 6])
    with pytest.raises(DatasetError, match=r"failure/data/.*episode 4.*--skip-bad"):
        read_dataset(pair)
    assert read_dataset(pair, Reading(skip_bad=True)).episode_indices.tolist() == [0, 1, 2, 3]


def test_datasets_that_differ_are_refused(pair: Path, tmp_path: Path) -> None:
    shutil.rmtree(pair / "failure")
    record(pair / "failure", replace(FAILURES, fps=30))
    with pytest.raises(DatasetError, match=r"fps is 20.0 in success and 30.0 in failure"):
        read_dataset(pair)
    shutil.rmtree(pair / "failure")
    record(pair / "failure", replace(FAILURES, action=5))
    with pytest.raises(DatasetError, match=r"action is \('float32', \[6\]\) in success"):
        read_dataset(pair)


def test_half_a_pair_is_no_dataset(pair: Path) -> None:
    shutil.rmtree(pair / "success")
    with pytest.raises(DatasetError, match=r"not a LeRobot dataset"):
        read_dataset(pair)


def test_a_triage_of_a_pair_gives_lerobot_one_dataset(pair: Path, tmp_path: Path) -> None:
    record_three = replace(FAILURES, lengths=(12, 9, 8))
    shutil.rmtree(pair / "failure")
    record(pair / "failure", record_three)
    out = tmp_path / "out"
    flags = ("--recipe", "smoke", "--steps", "2", "--chunk", "3", "--seeds", "0", "--cameras")
    assert "--one-task" in refused("triage", pair, *flags, "--out", out)
    done("triage", pair, *flags, "--one-task", "--count", "1", "--out", out)
    _, export, train, _ = Recommendation.load(out / "recommendation.json").commands
    done(*shlex.split(export.line)[1:])
    exported = out / "export-successes" / "dataset"
    assert f"--dataset.root={exported}" in shlex.split(train.line)
    assert "--dataset.episodes" not in train.line
    both, copy = read_dataset(pair), read_dataset(exported)
    alone = both.subset(both.episodes(Outcome.SUCCESS))
    assert len(alone) == len(copy)
    for here, there in zip(alone, copy, strict=True):
        np.testing.assert_array_equal(here.state, there.state)
        np.testing.assert_array_equal(here.action, there.action)

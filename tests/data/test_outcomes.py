from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from outtakes.data.outcomes import SIDECAR, find_outcomes
from outtakes.errors import DatasetError

EPISODES = np.array([0, 2, 5])
STARTS = np.array([0, 2, 3, 6])
THIRD = np.array([0, 0, 0, 0, 1, 0], dtype=bool)
FIRST = np.array([1, 1, 0, 0, 0, 0], dtype=bool)


def label(root: Path, labels: object) -> None:
    (root / SIDECAR).write_text(json.dumps(labels))


def test_an_episode_succeeds_when_any_frame_does(tmp_path: Path) -> None:
    found = find_outcomes(tmp_path, EPISODES, STARTS, {"next.success": THIRD})
    assert found.tolist() == [False, False, True]


@pytest.mark.parametrize("column", ["next.success", "is_success", "success"])
@pytest.mark.parametrize("dtype", [bool, np.int64, np.float32])
def test_every_convention_and_type_is_read(tmp_path: Path, column: str, dtype: type) -> None:
    found = find_outcomes(tmp_path, EPISODES, STARTS, {column: FIRST.astype(dtype)})
    assert found.tolist() == [True, False, False]


def test_columns_are_read_in_order_of_precedence(tmp_path: Path) -> None:
    columns = {"success": THIRD, "is_success": THIRD, "next.success": FIRST}
    assert find_outcomes(tmp_path, EPISODES, STARTS, columns).tolist() == [True, False, False]
    del columns["next.success"]
    columns["is_success"] = FIRST
    assert find_outcomes(tmp_path, EPISODES, STARTS, columns).tolist() == [True, False, False]


def test_a_person_overrules_the_columns_for_some_episodes(tmp_path: Path) -> None:
    label(tmp_path, {"0": "failure", "2": "success"})
    found = find_outcomes(tmp_path, EPISODES, STARTS, {"next.success": np.ones(6, dtype=bool)})
    assert found.tolist() == [False, True, True]


def test_a_person_may_label_everything(tmp_path: Path) -> None:
    label(tmp_path, {"0": "failure", "2": "success", "5": "failure"})
    assert find_outcomes(tmp_path, EPISODES, STARTS, {}).tolist() == [False, True, False]


def test_an_unlabelled_episode_is_named_with_what_was_looked_for(tmp_path: Path) -> None:
    label(tmp_path, {"0": "failure", "5": "failure"})
    with pytest.raises(DatasetError) as caught:
        find_outcomes(tmp_path, EPISODES, STARTS, {"reward": THIRD})
    for word in ("episode 2", SIDECAR, "next.success", "is_success", ", success", str(tmp_path)):
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("labels", "complaint"),
    [
        ({"1": "success"}, "episode '1'"),
        ({"first": "success"}, "episode 'first'"),
        ({"0": "good"}, "label 'good' of episode 0"),
        ({"0": True}, "label True of episode 0"),
        (["success"], "labels are a list"),
    ],
)
def test_malformed_labels_are_refused(tmp_path: Path, labels: object, complaint: str) -> None:
    label(tmp_path, labels)
    with pytest.raises(DatasetError, match=complaint):
        find_outcomes(tmp_path, EPISODES, STARTS, {"next.success": FIRST})


def test_a_label_file_that_is_no_json_is_refused(tmp_path: Path) -> None:
    (tmp_path / SIDECAR).write_text("{0: success")
    with pytest.raises(DatasetError, match="cannot read the labels"):
        find_outcomes(tmp_path, EPISODES, STARTS, {"next.success": FIRST})

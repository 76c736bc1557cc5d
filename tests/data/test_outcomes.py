from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from outtakes.data.labels import SIDECAR
from outtakes.data.outcomes import Evidence, Source, find_outcomes, frame_columns, known_outcomes
from outtakes.errors import DatasetError, UnknownName

EPISODES = np.array([0, 2, 5])
STARTS = np.array([0, 2, 3, 6])
THIRD = np.array([0, 0, 0, 0, 1, 0], dtype=bool)
FIRST = np.array([1, 1, 0, 0, 0, 0], dtype=bool)
DENSE = np.array([0.1, 0.9, 0.2, 0.3, 0.4, 0.5])


def label(root: Path, labels: object) -> None:
    (root / SIDECAR).write_text(json.dumps(labels))


def evidence(root: Path, frames: dict[str, np.ndarray] | None = None, **more: Any) -> Evidence:
    return Evidence(root, EPISODES, STARTS, frames or {}, **more)


def found(said: Evidence, wanted: str | None = None) -> list[bool]:
    """Outcomes in the order of the episodes, of which none may be missing."""
    outcomes = find_outcomes(said, None if wanted is None else Source.parse(wanted))
    assert sum(outcomes.counts.values()) == len(EPISODES)
    return [outcomes.successes[int(e)] for e in EPISODES]


def test_an_episode_succeeds_when_any_frame_does(tmp_path: Path) -> None:
    assert found(evidence(tmp_path, {"next.success": THIRD})) == [False, False, True]


@pytest.mark.parametrize(
    "column", ["next.success", "is_success", "success", "is_episode_successful"]
)
@pytest.mark.parametrize("dtype", [bool, np.int64, np.float32])
def test_every_convention_and_type_is_read(tmp_path: Path, column: str, dtype: type) -> None:
    assert found(evidence(tmp_path, {column: FIRST.astype(dtype)})) == [True, False, False]


# Every source with an outcome of its own, the earliest in precedence first.
SOURCES: dict[str, dict[str, Any]] = {
    SIDECAR: {},
    "episode_labels.csv": {},
    "folders": {"folders": {0: False, 2: True, 5: True}},
    "success": {"episode_columns": {"success": ["failure", "success", "failure"]}},
    "next.success": {"frame_columns": {"next.success": THIRD}},
    "next.reward": {"frame_columns": {"next.reward": FIRST.astype(float)}},
}


@pytest.mark.parametrize("pair", list(combinations(SOURCES, 2)))
def test_the_earlier_source_decides(tmp_path: Path, pair: tuple[str, str]) -> None:
    more: dict[str, Any] = {"frame_columns": {}}
    for name in pair:
        for kind, content in SOURCES[name].items():
            more[kind] = {**more.get(kind, {}), **content}
    if SIDECAR in pair:
        label(tmp_path, dict.fromkeys("025", "failure"))
    if "episode_labels.csv" in pair:
        (tmp_path / "episode_labels.csv").write_text(
            "episode,outcome\n0,success\n2,success\n5,success\n"
        )
    said = Evidence(tmp_path, EPISODES, STARTS, **more)
    assert find_outcomes(said).counts == {pair[0]: 3}


def test_columns_are_read_in_order_of_precedence(tmp_path: Path) -> None:
    columns = {"success": THIRD, "is_success": THIRD, "next.success": FIRST}
    assert found(evidence(tmp_path, columns)) == [True, False, False]
    del columns["next.success"]
    columns["is_success"] = FIRST
    assert found(evidence(tmp_path, columns)) == [True, False, False]


def test_only_one_column_of_numbers_is_read() -> None:
    features = {
        "success": {"dtype": "string"},
        "reward": {"dtype": "float32"},
        "is_episode_successful": {"dtype": "bool"},
    }
    assert frame_columns(features, None) == ["is_episode_successful"]
    assert frame_columns(features, Source("reward")) == ["reward"]
    assert frame_columns(features, Source("success")) == []


def test_a_person_overrules_the_columns_for_some_episodes(tmp_path: Path) -> None:
    label(tmp_path, {"0": "failure", "2": "success"})
    outcomes = find_outcomes(evidence(tmp_path, {"next.success": np.ones(6, dtype=bool)}))
    assert outcomes.successes == {0: False, 2: True, 5: True}
    assert outcomes.sources == {0: SIDECAR, 2: SIDECAR, 5: "next.success"}


def test_a_person_may_label_everything(tmp_path: Path) -> None:
    label(tmp_path, {"0": "failure", "2": "success", "5": "failure"})
    assert found(evidence(tmp_path)) == [False, True, False]


def test_a_label_file_elsewhere_takes_the_place_of_those_beside_the_dataset(tmp_path: Path) -> None:
    label(tmp_path, dict.fromkeys("025", "failure"))
    elsewhere = tmp_path / "mine.csv"
    elsewhere.write_text("episode,outcome\n0,success\n2,failure\n5,success\n")
    assert found(evidence(tmp_path, labels=elsewhere)) == [True, False, True]
    with pytest.raises(DatasetError, match="no such label file"):
        found(evidence(tmp_path, labels=tmp_path / "nowhere.json"))


# Columns of meta/episodes


@pytest.mark.parametrize(
    "values", [[True, False, True], [1, 0, 1.0], ["success", "failure", "success"]]
)
def test_an_episode_may_say_it_itself(tmp_path: Path, values: list) -> None:
    said = evidence(tmp_path, {"next.success": THIRD}, episode_columns={"is_success": values})
    assert found(said) == [True, False, True]


def test_an_episode_that_does_not_say_is_looked_up_elsewhere(tmp_path: Path) -> None:
    columns = {"success": [None, True, None]}
    outcomes = find_outcomes(evidence(tmp_path, {"next.success": THIRD}, episode_columns=columns))
    assert outcomes.successes == {0: False, 2: True, 5: True}
    assert outcomes.counts == {"success": 1, "next.success": 2}


def test_an_episode_that_says_something_else_is_refused(tmp_path: Path) -> None:
    columns = {"success": ["yes", "no", "yes"]}
    with pytest.raises(DatasetError, match=r"success is 'yes' for episode 0.*--outcome-from"):
        found(evidence(tmp_path, episode_columns=columns))


# Rewards and thresholds


@pytest.mark.parametrize("reward", [DENSE, np.zeros(6), 2.0 * THIRD, np.full(6, np.nan)])
def test_a_reward_that_does_not_tell_is_not_guessed_from(
    tmp_path: Path, reward: np.ndarray
) -> None:
    with pytest.raises(DatasetError, match="no outcome for episode 0"):
        found(evidence(tmp_path, {"next.reward": reward}))


@pytest.mark.parametrize(
    ("threshold", "expected"),
    [("0.9", [True, False, False]), ("0.45", [True, False, True]), ("0.0", [True, True, True])],
)
def test_a_reward_tells_with_a_threshold(
    tmp_path: Path, threshold: str, expected: list[bool]
) -> None:
    assert found(evidence(tmp_path, {"next.reward": DENSE}), f"next.reward:{threshold}") == expected


def test_higher_thresholds_never_make_more_successes(tmp_path: Path) -> None:
    said = evidence(tmp_path, {"next.reward": np.random.default_rng(0).normal(size=(6, 2))})
    counts = [sum(found(said, f"next.reward:{t}")) for t in np.linspace(-4, 4, 33)]
    assert counts == sorted(counts, reverse=True)
    assert (counts[0], counts[-1]) == (3, 0)


# One source by name


def test_the_source_that_is_named_is_the_only_one(tmp_path: Path) -> None:
    label(tmp_path, dict.fromkeys("025", "failure"))
    said = evidence(
        tmp_path, {"next.done": THIRD}, episode_columns={"grade": [3, 2, 1]}, folders={0: True}
    )
    assert found(said, "labels") == [False, False, False]
    assert found(said, "next.done") == [False, False, True]
    assert found(said, "grade:2") == [True, True, False]
    assert known_outcomes(said, Source("folders")).successes == {0: True}


def test_a_source_that_is_named_must_label_everything(tmp_path: Path) -> None:
    label(tmp_path, {"0": "failure"})
    with pytest.raises(DatasetError, match="no outcome for episode 2; looked for labels"):
        found(evidence(tmp_path, {"next.success": THIRD}), "labels")


def test_a_source_that_is_not_there_is_answered_with_those_that_are(tmp_path: Path) -> None:
    said = evidence(tmp_path, episode_columns={"grade": [3, 2, 1]})
    with pytest.raises(UnknownName, match=r"did you mean 'grade'.*labels"):
        found(said, "grad:2")


# Nothing found


def test_an_unlabelled_episode_is_named_with_what_was_looked_for(tmp_path: Path) -> None:
    label(tmp_path, {"0": "failure", "5": "failure"})
    with pytest.raises(DatasetError) as caught:
        found(evidence(tmp_path, {"unheard of": THIRD}))
    for word in (
        *("episode 2", SIDECAR, "episode_labels.csv", "next.success", "is_success", ", success"),
        *("next.reward", "folders success and failure", "outtakes label", str(tmp_path)),
    ):
        assert word in str(caught.value)

"""Label files: read, refused, and added to without loss."""

from __future__ import annotations

import json
import subprocess
import sys
from multiprocessing import get_context
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outtakes.data.labels import locked, parse_episodes, read_labels, write_labels
from outtakes.errors import ConfigError, DatasetError, MachineError
from tests.disk import full_after

EPISODES = [0, 2, 5]


@pytest.mark.parametrize(
    ("labels", "complaint"),
    [
        ('{"1": "success"}', "episode '1'"),
        ('{"first": "success"}', "episode 'first'"),
        ('{"0": "good"}', "label 'good' of episode 0"),
        ('{"0": true}', "label True of episode 0"),
        ('["success"]', "labels are a list"),
        ('{"0": "success", "0": "failure"}', "episode 0 is labelled twice"),
        ("{0: success", "cannot read the labels"),
    ],
)
def test_malformed_labels_are_refused(tmp_path: Path, labels: str, complaint: str) -> None:
    path = tmp_path / "labels.json"
    path.write_text(labels)
    with pytest.raises(DatasetError, match=complaint):
        read_labels(path, EPISODES)


def test_a_table_is_read(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("\ufeffepisode, outcome\r\n0,success\r\n\r\n5, failure\r\n")
    assert read_labels(path, EPISODES) == {0: True, 5: False}


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ("", "labels of columns ''"),
        ("0,success\n", "labels of columns '0,success'"),
        ("episode,outcome\n0\n", "labels of columns '0'"),
        ("episode,outcome\n0,yes\n", "label 'yes' of episode 0"),
        ("episode,outcome\n7,success\n", "label for episode '7'"),
        ("episode,outcome\n0,success\n0,success\n", "labelled twice"),
        ('episode,outcome\n"0,success\n', "cannot read the labels"),
    ],
)
def test_malformed_tables_are_refused(tmp_path: Path, table: str, complaint: str) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(table)
    with pytest.raises(DatasetError, match=complaint):
        read_labels(path, EPISODES)


def test_what_was_there_stays(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "labels.json"
    assert write_labels(path, {5: True, 0: False}, EPISODES) == {0: False, 5: True}
    assert write_labels(path, {2: True, 0: True}, EPISODES) == {0: True, 2: True, 5: True}
    assert read_labels(path, EPISODES) == {0: True, 2: True, 5: True}
    assert list(json.loads(path.read_text())) == ["0", "2", "5"]
    assert [file.name for file in path.parent.iterdir()] == ["labels.json"]


def test_a_file_that_cannot_be_read_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "labels.json"
    path.write_text('{"0": "success"')
    with pytest.raises(DatasetError, match="cannot read the labels"):
        write_labels(path, {2: True}, EPISODES)
    assert path.read_text() == '{"0": "success"'


def test_a_full_disk_leaves_the_old_labels(tmp_path: Path) -> None:
    path = tmp_path / "labels.json"
    write_labels(path, {0: True}, range(1000))
    with pytest.raises(MachineError, match="no space left"), full_after(100):
        write_labels(path, dict.fromkeys(range(1000), False), range(1000))
    assert read_labels(path, range(1000)) == {0: True}
    assert [file.name for file in tmp_path.iterdir()] == ["labels.json"]


def test_labels_are_written_as_json_alone(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"labels\.csv"):
        write_labels(tmp_path / "labels.csv", {0: True}, EPISODES)


def add_one_by_one(path: Path, episodes: range) -> None:
    for episode in episodes:
        write_labels(path, {episode: True}, range(40))


def test_two_processes_may_label_at_once(tmp_path: Path) -> None:
    path, context = tmp_path / "labels.json", get_context("fork")
    halves = (range(0, 20), range(20, 40))
    workers = [context.Process(target=add_one_by_one, args=(path, half)) for half in halves]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert read_labels(path, range(40)) == dict.fromkeys(range(40), True)


def test_no_lock_is_left_behind(tmp_path: Path) -> None:
    with locked(tmp_path / "new"):
        assert (tmp_path / "new").is_dir()
    assert list((tmp_path / "new").iterdir()) == []


def test_a_lock_of_a_process_that_was_killed_holds_nobody_up(tmp_path: Path) -> None:
    program = f"""
import os
from pathlib import Path
from outtakes.data.labels import locked
with locked(Path({str(tmp_path)!r})):
    os.kill(os.getpid(), 9)
"""
    assert subprocess.run([sys.executable, "-c", program]).returncode == -9
    write_labels(tmp_path / "labels.json", {0: True}, EPISODES)
    assert [file.name for file in tmp_path.iterdir()] == ["labels.json"]


@given(st.lists(st.integers(0, 99), unique=True))
def test_a_list_of_episodes_is_read(episodes: list[int]) -> None:
    assert parse_episodes(",".join(map(str, episodes))) == episodes


def test_ranges_are_read() -> None:
    assert parse_episodes("0-3, 7,9-9") == [0, 1, 2, 3, 7, 9]
    assert parse_episodes("") == []


@pytest.mark.parametrize("text", ["a", "3-1", "-1", "1-", "1--2", "0.5", "²"])
def test_other_lists_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="0-9,12"):
        parse_episodes(text)

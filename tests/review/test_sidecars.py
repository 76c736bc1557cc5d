"""What a review leaves on disk, however it ends and whoever else writes there."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

import numpy as np
import pytest

from outtakes.data.labels import read_labels
from outtakes.errors import ArtifactError, DatasetError, MachineError
from outtakes.review.choices import Change
from outtakes.review.sidecars import Conflict, Sidecars
from tests.disk import full_after

EPISODES = np.arange(40)


@pytest.fixture
def sidecars(tmp_path: Path) -> Sidecars:
    return Sidecars(tmp_path, tmp_path, EPISODES)


def test_a_label_is_read_as_the_dataset_reads_it(sidecars):
    sidecars.change(Change(7, "label", None, "failure"))
    sidecars.change(Change(3, "label", None, "success"))
    assert read_labels(sidecars.labels, EPISODES) == {3: True, 7: False}


def test_everything_is_there_for_the_next_process(sidecars):
    sidecars.change(Change(7, "label", None, "failure"))
    sidecars.change(Change(7, "dropped", False, True))
    found = Sidecars(sidecars.dataset, sidecars.folder, EPISODES).read()
    assert (found.labels, found.dropped, found.revision) == ({7: "failure"}, {7}, 2)
    assert not Sidecars(sidecars.dataset, sidecars.folder, EPISODES).undo(2).dropped


def test_nothing_is_left_but_the_two_files(sidecars):
    sidecars.change(Change(0, "dropped", False, True))
    assert {path.name for path in sidecars.folder.iterdir()} == {"review.json"}
    sidecars.change(Change(0, "label", None, "success"))
    names = {"review.json", "episode_labels.json"}
    assert {path.name for path in sidecars.folder.iterdir()} == names


def test_dropping_leaves_a_persons_label_file_as_it_is(sidecars):
    sidecars.labels.write_text('{"1":   "failure"}')
    sidecars.change(Change(0, "dropped", False, True))
    assert sidecars.labels.read_text() == '{"1":   "failure"}'
    sidecars.change(Change(0, "label", None, "success"))
    assert json.loads(sidecars.labels.read_text()) == {"0": "success", "1": "failure"}


def test_a_change_of_what_was_changed_elsewhere_is_refused(sidecars):
    sidecars.change(Change(0, "label", None, "failure"))
    with pytest.raises(Conflict) as refused:
        sidecars.change(Change(0, "label", None, "success"))
    assert refused.value.decisions.labels == {0: "failure"}
    assert sidecars.read().labels == {0: "failure"}


def test_another_episode_may_be_changed_elsewhere_meanwhile(sidecars):
    sidecars.change(Change(0, "label", None, "failure"))
    assert sidecars.change(Change(1, "label", None, "success")).labels == {
        0: "failure",
        1: "success",
    }


def test_undo_of_what_the_caller_has_not_seen_is_refused(sidecars):
    sidecars.change(Change(0, "label", None, "failure"))
    with pytest.raises(Conflict):
        sidecars.undo(0)
    assert sidecars.undo(1).labels == {}


def label_every_fourth(folder: Path, first: int) -> None:
    """One of several processes that label at the same time."""
    sidecars = Sidecars(folder, folder, EPISODES)
    for episode in EPISODES[first::4].tolist():
        sidecars.change(Change(episode, "label", None, "success" if first % 2 else "failure"))


def test_processes_that_label_at_the_same_time_lose_nothing(sidecars):
    context = multiprocessing.get_context("spawn")
    workers = [
        context.Process(target=label_every_fourth, args=(sidecars.folder, first))
        for first in range(4)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    found = sidecars.read()
    assert found.labels == {e: "success" if e % 2 else "failure" for e in EPISODES.tolist()}
    assert found.revision == len(found.history) == len(EPISODES)


def test_a_kill_between_the_two_files_costs_the_one_label_alone(sidecars):
    sidecars.change(Change(0, "label", None, "failure"))
    before = sidecars.labels.read_bytes()
    sidecars.change(Change(1, "label", None, "failure"))
    sidecars.labels.write_bytes(before)
    assert sidecars.undo(2).labels == {}


def test_a_full_disk_keeps_what_was_there(sidecars):
    sidecars.change(Change(0, "label", None, "failure"))
    with full_after(0), pytest.raises(MachineError, match="no space left"):
        sidecars.change(Change(1, "label", None, "failure"))
    assert sidecars.read().labels == {0: "failure"}
    sidecars.change(Change(1, "label", None, "failure"))


def test_in_another_folder_labels_begin_with_the_datasets(tmp_path):
    dataset, out = tmp_path / "dataset", tmp_path / "out"
    dataset.mkdir()
    (dataset / "episode_labels.json").write_text('{"5": "success"}')
    sidecars = Sidecars(dataset, out, EPISODES)
    assert sidecars.read().labels == {5: "success"}
    assert not out.exists()
    sidecars.change(Change(6, "label", None, "failure"))
    assert read_labels(out / "episode_labels.json", EPISODES) == {5: True, 6: False}
    assert read_labels(dataset / "episode_labels.json", EPISODES) == {5: True}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot read the review file"),
        ('{"kind": "review", "version": 2}', "expected a review file of version 1"),
        ('{"kind": "review", "version": 1, "revision": 1, "dropped": []}', "history"),
        (
            '{"kind": "review", "version": 1, "revision": 1, "dropped": [99], "history": []}',
            "names episode 99",
        ),
        (
            '{"kind": "review", "version": 1, "revision": 1, "dropped": [], "history": '
            '[{"episode": 0, "field": "label", "before": null, "after": "good"}]}',
            "cannot set 'label' of episode 0 to 'good'",
        ),
    ],
)
def test_a_damaged_review_is_one_line_and_kept(sidecars, content, message):
    sidecars.review.write_text(content)
    with pytest.raises(ArtifactError, match=message):
        sidecars.change(Change(0, "label", None, "success"))
    assert sidecars.review.read_text() == content


def test_a_damaged_label_file_is_kept(sidecars):
    sidecars.labels.write_text('{"0": "maybe"}')
    with pytest.raises(DatasetError, match="maybe"):
        sidecars.change(Change(0, "label", None, "success"))
    assert sidecars.labels.read_text() == '{"0": "maybe"}'


def test_an_unknown_episode_is_refused(sidecars):
    with pytest.raises(ArtifactError, match="no episode 40"):
        sidecars.change(Change(40, "label", None, "success"))

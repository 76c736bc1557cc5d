"""Takes on disk: the same when read again, in order, and never mistaken for others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from outtakes.errors import ArtifactError, DatasetError
from outtakes.sim.collect import Attempt
from outtakes.sim.person.takes import Take, TakeFolder, open_takes
from tests.commands import fingerprint

REQUEST = {"environment": "lift", "seed": 3}


def take(number: int, steps: int = 4, *, success: bool = False) -> Take:
    rng = np.random.default_rng(number)
    features = {
        "observation.state": rng.normal(size=(steps, 14)).astype(np.float32),
        "action": rng.normal(size=(steps, 7)).astype(np.float32),
        "next.success": np.arange(steps) >= (2 if success else steps),
    }
    attempt = Attempt(number, None, rng.normal(size=16), features)
    return Take(attempt, "keyboard", seconds=0.2, late_steps=1)


def open_with(root: Path, *takes: Take) -> TakeFolder:
    folder = open_takes(root, REQUEST)
    for each in takes:
        folder.keep(each)
    return folder


def test_a_take_read_again_is_the_take_that_was_kept(tmp_path):
    kept = take(5, success=True)
    open_with(tmp_path / "data", kept)
    (read,) = open_takes(tmp_path / "data", REQUEST).load()
    assert read.facts == kept.facts
    assert read.attempt.success and read.attempt.number == 5
    assert np.array_equal(read.attempt.initial_state, kept.attempt.initial_state)
    assert read.attempt.features.keys() == kept.attempt.features.keys()
    for name, array in kept.attempt.features.items():
        assert np.array_equal(read.attempt.features[name], array), name
        assert read.attempt.features[name].dtype == array.dtype


def test_takes_come_back_in_the_order_of_their_attempts(tmp_path):
    numbers = [0, 2, 9, 10, 11, 100]
    folder = open_with(tmp_path / "data", *map(take, reversed(numbers)))
    assert [read.attempt.number for read in folder.load()] == numbers


def test_nothing_is_on_disk_before_the_first_take_nor_after_the_folder_is_removed(tmp_path):
    folder = open_takes(tmp_path / "data", REQUEST)
    assert list(tmp_path.iterdir()) == []
    folder.keep(take(0))
    folder.remove()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("other", [{**REQUEST, "seed": 4}, {**REQUEST, "environment": "can"}])
def test_takes_of_other_starts_are_refused_and_left_alone(tmp_path, other):
    open_with(tmp_path / "data", take(0))
    before = fingerprint(tmp_path)
    with pytest.raises(DatasetError, match="unfinished takes of"):
        open_takes(tmp_path / "data", other)
    assert fingerprint(tmp_path) == before


def test_takes_whose_request_is_lost_are_refused_and_left_alone(tmp_path):
    folder = open_with(tmp_path / "data", take(0))
    (folder.folder / "request.json").unlink()
    before = fingerprint(tmp_path)
    with pytest.raises(ArtifactError, match="takes request"):
        open_takes(tmp_path / "data", REQUEST)
    assert fingerprint(tmp_path) == before


@pytest.mark.parametrize("content", [b"", b"\x80\x04pickle", b"\xff" * 64])
def test_a_damaged_take_is_named(tmp_path, content):
    folder = open_with(tmp_path / "data", take(0), take(1))
    file = folder.folder / "take-00001.safetensors"
    file.write_bytes(content)
    with pytest.raises(ArtifactError, match=r"cannot read the take .*take-00001"):
        folder.load()


def test_half_a_take_is_named(tmp_path):
    folder = open_with(tmp_path / "data", take(0))
    file = folder.folder / "take-00000.safetensors"
    file.write_bytes(file.read_bytes()[:-7])
    with pytest.raises(ArtifactError, match="cannot read the take"):
        folder.load()

"""Datasets of version v2.1 are read as what they are as v3.0, and are only read."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from outtakes.data.demo import Outcome
from outtakes.data.hashing import content_hash
from outtakes.data.lerobot.read import read_dataset
from outtakes.data.lerobot.version_2 import converted
from outtakes.data.reading import Reading
from outtakes.errors import DatasetError, MachineError
from tests.commands import fingerprint
from tests.data.test_damage import cut_in_half
from tests.data.varied import Camera, Robot, record
from tests.data.version_21 import write_version_21

ROBOT = Robot(
    fps=25,
    cameras={
        "observation.images.top": Camera(48, 64),
        "observation.images.wrist": Camera(40, 32, "image"),
    },
    tasks=("fold", "unfold"),
    lengths=(9, 12, 8),
)
CODEC_LOSS = 6.0
"""Mean absolute error of a decoded frame, of 255."""


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of version v2.1, which no test may change."""
    return write_version_21(tmp_path_factory.mktemp("old") / "arms", ROBOT)


@pytest.fixture(scope="session")
def cache_of_session(original: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache in which the original has been converted."""
    folder = tmp_path_factory.mktemp("cache")
    converted(original, folder)
    return folder


@pytest.fixture
def old(original: Path, tmp_path: Path) -> Path:
    """A copy of the dataset, free to be broken."""
    return Path(shutil.copytree(original, tmp_path / "arms"))


def test_it_reads_as_the_same_dataset_of_version_3(
    original: Path, cache_of_session: Path, tmp_path: Path
) -> None:
    before = fingerprint(original)
    ours = read_dataset(original, cache_dir=cache_of_session)
    theirs = read_dataset(record(tmp_path / "new", ROBOT))
    assert fingerprint(original) == before
    for name in ("state", "action", "successes", "starts", "episode_indices"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))
    assert list(ours.tasks) == list(theirs.tasks) == ["fold", "unfold", "fold"]
    assert (ours.fps, ours.name) == (25, str(original))
    np.testing.assert_array_equal(ours.images["wrist"], theirs.images["wrist"])
    top = ours.images["top"].astype(float), theirs.images["top"].astype(float)
    assert np.abs(top[0] - top[1]).mean(axis=(1, 2, 3)).max() < CODEC_LOSS


def test_it_is_converted_once(original: Path, cache_of_session: Path) -> None:
    (copy,) = (cache_of_session / "converted").iterdir()
    before = {path: path.stat().st_mtime_ns for path in copy.rglob("*")}
    assert converted(original, cache_of_session) == copy
    assert {path: path.stat().st_mtime_ns for path in copy.rglob("*")} == before


def test_it_converts_alike_when_the_cache_is_gone(
    original: Path, cache_of_session: Path, tmp_path: Path
) -> None:
    """Else runs could no longer be told to be of the same data."""

    def content(root: Path) -> str:
        files = {p.relative_to(root).as_posix(): p for p in root.rglob("*") if p.is_file()}
        return content_hash(files, {})

    again = converted(original, tmp_path / "again")
    assert content(again) == content(converted(original, cache_of_session))
    assert list((tmp_path / "again" / "converted").iterdir()) == [again]


def test_labels_are_looked_for_beside_the_original(
    old: Path, cache_of_session: Path, tmp_path: Path
) -> None:
    assert read_dataset(old, cache_dir=cache_of_session).episodes(Outcome.SUCCESS) == [0, 2]
    (old / "episode_labels.json").write_text(json.dumps({"0": "failure"}))
    assert read_dataset(old, cache_dir=cache_of_session).episodes(Outcome.SUCCESS) == [2]
    only = Reading(outcome_from="next.success")
    assert read_dataset(old, only, cache_dir=cache_of_session).episodes(Outcome.SUCCESS) == [0, 2]


def test_a_damaged_one_is_refused_and_leaves_nothing(old: Path, cache: Path) -> None:
    cut_in_half(old / "data" / "chunk-000" / "episode_000001.parquet")
    before = fingerprint(old)
    with pytest.raises(DatasetError, match=r"LeRobot cannot convert the dataset from v2\.1") as it:
        read_dataset(old)
    assert "\n" not in str(it.value) and str(old) in str(it.value)
    assert fingerprint(old) == before
    assert [path for path in cache.rglob("*") if path.is_file()] == []


def test_a_cache_that_cannot_be_written(old: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(MachineError, match="cannot write"):
        converted(old, tmp_path / "file" / "cache")

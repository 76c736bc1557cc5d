from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from outtakes.data.demo import DemoSet
from outtakes.data.labels import write_labels
from outtakes.data.lerobot import read
from outtakes.data.lerobot.read import read_dataset
from outtakes.data.reading import Reading
from outtakes.data.ref import DatasetRef, keep
from outtakes.errors import ArtifactError, DatasetError, UnknownName
from tests.data.same import assert_same_demo
from tests.demos import make_demos
from tests.test_architecture import ABSENT

READING = Reading(cameras=["overhead"], image_size=32, labels=None)


def ref_of(demos: DemoSet) -> DatasetRef:
    assert demos.cache is not None
    return keep(demos, READING)


def assert_same(one: DemoSet, other: DemoSet) -> None:
    for name in ("name", "content_hash", "fps"):
        assert getattr(one, name) == getattr(other, name)
    assert one.provenance.outcome_sources == other.provenance.outcome_sources
    assert list(one.tasks) == list(other.tasks)
    for demo, twin in zip(one, other, strict=True):
        assert_same_demo(demo, twin)


@pytest.fixture
def no_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever reads the dataset fails."""

    def refuse(*_: object) -> None:
        raise AssertionError("the dataset is read")

    for name in ("find_layout", "content_hash", "fill_cache"):
        monkeypatch.setattr(read, name, refuse)


# What was read


def test_a_reference_says_what_was_read_and_how(dataset: Path, cache: Path) -> None:
    demos = read_dataset(dataset, READING)
    ref = ref_of(demos)
    assert (ref.source, ref.reading) == (str(dataset), READING) == (demos.name, READING)
    assert ref.content_hash == demos.content_hash and ref.cache.parent == cache


def test_a_reference_opens_what_was_read_without_reading_it_again(
    dataset: Path, request: pytest.FixtureRequest
) -> None:
    demos = read_dataset(dataset, READING)
    request.getfixturevalue("no_reading")
    opened = ref_of(demos).open()
    assert_same(opened, demos)
    assert ref_of(opened) == ref_of(demos)
    assert isinstance(opened.images["overhead"], np.memmap)


def test_the_dataset_need_not_be_there_any_more(dataset: Path) -> None:
    demos = read_dataset(dataset)
    dataset.rename(dataset.with_name("elsewhere"))
    assert_same(ref_of(demos).open(), demos)


def test_a_reference_is_small_whatever_it_names(dataset: Path) -> None:
    ref = ref_of(read_dataset(dataset, READING))
    assert len(pickle.dumps(ref)) < 1000
    assert pickle.loads(pickle.dumps(ref)) == ref


def test_it_opens_with_numpy_and_safetensors_alone(dataset: Path, tmp_path: Path) -> None:
    demos = read_dataset(dataset, READING)
    (tmp_path / "ref").write_bytes(pickle.dumps(ref_of(demos)))
    program = f"""
import pickle, sys
for name in {["torch", "filelock", "datasets", "huggingface_hub", *ABSENT]}:
    sys.modules[name] = None
ref = pickle.load(open({str(tmp_path / "ref")!r}, "rb"))
demos = ref.open().subset([0, 3])
print(int(sum(demo.images["overhead"].astype(int).sum() for demo in demos)))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    chosen = demos.subset([0, 3])
    assert int(done.stdout) == sum(demo.images["overhead"].astype(int).sum() for demo in chosen)


@pytest.mark.parametrize("cameras", [(), ("overhead",)])
def test_of_other_cameras_not_even_the_file_is_opened(
    dataset: Path, cameras: tuple[str, ...]
) -> None:
    demos = read_dataset(dataset, replace(READING, cameras=None))
    for camera in set(demos.images) - set(cameras):
        (ref_of(demos).cache / f"{camera}.npy").write_bytes(b"")
    assert set(ref_of(demos).open(cameras).images) == set(cameras)


def test_an_unknown_camera_is_named(dataset: Path, cache: Path) -> None:
    ref = ref_of(read_dataset(dataset, READING))
    with pytest.raises(UnknownName, match="unknown camera 'wrist'"):
        ref.open(["wrist"])
    cache.rename(cache.with_name("gone"))
    with pytest.raises(UnknownName, match="unknown camera 'wrist'"):
        ref.open(["wrist"])


# When the cache is gone


def test_a_dataset_whose_cache_is_gone_is_read_again(dataset: Path, cache: Path) -> None:
    demos = read_dataset(dataset, READING)
    cache.rename(cache.with_name("gone"))
    again = ref_of(demos).open()
    assert ref_of(again) == ref_of(demos)
    for demo, twin in zip(again, demos, strict=True):
        assert_same_demo(demo, twin)


def test_it_is_read_again_into_the_cache_it_was_in(dataset: Path, tmp_path: Path) -> None:
    ref = ref_of(read_dataset(dataset, READING, cache_dir=tmp_path / "own"))
    (tmp_path / "own").rename(tmp_path / "gone")
    ref.open(cameras=())
    assert (tmp_path / "own" / ref.cache.name / "demos.json").is_file()


def test_a_dataset_that_has_changed_is_refused_before_it_is_decoded(
    dataset: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = ref_of(read_dataset(dataset, READING))
    cache.rename(cache.with_name("gone"))
    write_labels(dataset / "episode_labels.json", {0: False}, range(6))
    monkeypatch.setattr(read, "fill_cache", None)
    with pytest.raises(DatasetError, match=f"changed since it was read .*{dataset}") as error:
        ref.open()
    assert "\n" not in str(error.value)


def test_a_dataset_that_is_gone_with_its_cache_is_named(dataset: Path, cache: Path) -> None:
    ref = ref_of(read_dataset(dataset, READING))
    cache.rename(cache.with_name("gone"))
    dataset.rename(dataset.with_name("elsewhere"))
    with pytest.raises(DatasetError, match=str(dataset)):
        ref.open()


# Who keeps the reference


def relabelled(demos: DemoSet) -> DemoSet:
    return replace(demos, successes=~demos.successes)


def darkened(demos: DemoSet) -> DemoSet:
    return replace(demos, images={c: frames // 2 for c, frames in demos.images.items()})


UNCHANGED: list[Callable[[DemoSet], DemoSet]] = [
    lambda demos: demos.subset([0, 4]),
    lambda demos: demos.subset([0, 2, 4]).subset([2]),
    lambda demos: demos.seeing(()),
    lambda demos: pickle.loads(pickle.dumps(demos)).subset([3]),
]
CHANGED: list[Callable[[DemoSet], DemoSet]] = [
    relabelled,
    darkened,
    lambda demos: relabelled(demos.subset([0, 4])),
    lambda demos: relabelled(pickle.loads(pickle.dumps(demos))),
    lambda demos: replace(demos, action=-demos.action),
    lambda demos: replace(demos, lengths=demos.lengths - 1),
    lambda demos: replace(demos, tasks=["fold"] * len(demos)),
    lambda demos: replace(demos, fps=1.0),
    lambda demos: replace(demos, episode_indices=demos.episode_indices + 1),
    lambda demos: replace(demos, content_hash="made up"),
    lambda demos: replace(demos, images={}),
]


@pytest.mark.parametrize("change", UNCHANGED)
def test_demonstrations_keep_their_reference(
    pristine: Path, change: Callable[[DemoSet], DemoSet]
) -> None:
    demos = read_dataset(pristine, READING)
    assert keep(change(demos), READING) == keep(demos, READING)


@pytest.mark.parametrize("change", CHANGED)
def test_demonstrations_that_were_changed_lose_it_and_are_kept_as_they_are(
    pristine: Path, change: Callable[[DemoSet], DemoSet]
) -> None:
    changed = change(read_dataset(pristine, READING))
    assert changed.cache is None and changed.subset([int(changed.episode_indices[0])]).cache is None
    assert_same(keep(changed).open(), changed)


def test_a_pickle_holds_no_frames_but_those_of_the_set(pristine: Path) -> None:
    demos = read_dataset(pristine, READING)
    assert len(pickle.dumps(demos.seeing(()))) < demos.images["overhead"].nbytes / 10


# What was made in memory


def test_demonstrations_made_in_memory_are_kept_once(cache: Path) -> None:
    demos = make_demos(camera=True)
    assert demos.cache is None
    ref = keep(demos)
    assert_same(ref.open(), demos)
    assert ref.reading is None and len(pickle.dumps(ref)) < 1000
    before = (ref.cache / "demos.json").stat().st_mtime_ns
    assert keep(make_demos(camera=True)) == keep(ref.open()) == ref
    assert [path.name for path in cache.iterdir()] == [ref.cache.name]
    assert (ref.cache / "demos.json").stat().st_mtime_ns == before


def test_a_kept_subset_holds_its_own_rows_alone(tmp_path: Path) -> None:
    subset = make_demos(camera=True).subset([2, 8])
    opened = keep(subset, cache_dir=tmp_path).open()
    assert_same(opened, subset)
    assert len(opened.images["overhead"]) == subset.lengths.sum()


def test_demonstrations_that_differ_in_one_pixel_are_kept_apart() -> None:
    one, other = make_demos(camera=True), make_demos(camera=True)
    other.images["overhead"][5, 0, 0, 0] ^= 1
    assert keep(one).cache != keep(other).cache


def test_kept_demonstrations_that_are_gone_cannot_be_read_again(cache: Path) -> None:
    ref = keep(make_demos())
    cache.rename(cache.with_name("gone"))
    with pytest.raises(ArtifactError, match=r"made in memory \(made up\) is gone"):
        ref.open()

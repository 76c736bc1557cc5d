from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

from outtakes.data.demo import DemoSet
from outtakes.data.frames import cache_root, load_cache, save_cache
from outtakes.errors import DatasetError, MachineError
from tests.data.same import assert_same_demo
from tests.demos import make_demos

ARRAYS = (
    *("episode_indices", "successes", "starts", "lengths"),
    *("state", "environment_state", "action"),
)

Damage = Callable[[Path], object]


@pytest.fixture
def demos() -> DemoSet:
    return replace(make_demos(camera=True), tasks=["lift the cube"] * 6)


@pytest.fixture
def folder(tmp_path: Path, demos: DemoSet) -> Path:
    save_cache(tmp_path / "cache", demos)
    return tmp_path / "cache"


def assert_same(one: DemoSet, other: DemoSet) -> None:
    for name in ARRAYS:
        left, right = getattr(one, name), getattr(other, name)
        assert left.dtype == right.dtype
        np.testing.assert_array_equal(left, right)
    for name in ("name", "content_hash", "fps"):
        assert getattr(one, name) == getattr(other, name)
    assert list(one.tasks) == list(other.tasks)
    assert one.images.keys() == other.images.keys()
    for camera, frames in one.images.items():
        np.testing.assert_array_equal(frames, other.images[camera])


def test_what_is_saved_is_loaded(folder: Path, demos: DemoSet) -> None:
    assert_same(load_cache(folder), demos)


def test_frames_stay_on_disk(folder: Path) -> None:
    assert isinstance(load_cache(folder).images["overhead"], np.memmap)


def test_a_set_without_images_is_saved(tmp_path: Path) -> None:
    demos = make_demos()
    save_cache(tmp_path / "cache", demos)
    assert_same(load_cache(tmp_path / "cache"), demos)


def test_of_a_subset_only_its_own_rows_are_saved(folder: Path, tmp_path: Path) -> None:
    subset = load_cache(folder).subset([2, 6, 8])
    save_cache(tmp_path / "subset", subset)
    saved = load_cache(tmp_path / "subset")
    assert len(saved.action) == len(saved.images["overhead"]) == subset.lengths.sum()
    for one, other in zip(saved, subset, strict=True):
        assert_same_demo(one, other)


def test_a_bare_machine_reads_it(folder: Path, demos: DemoSet) -> None:
    program = f"""
import sys
for name in ("torch", "lerobot", "pyarrow", "av", "cv2", "PIL", "robosuite", "pandas", "scipy",
             "datasets", "huggingface_hub"):
    sys.modules[name] = None
from pathlib import Path
from outtakes.data.frames import load_cache
demos = load_cache(Path({str(folder)!r}))
print(len(demos), int(demos.images["overhead"].astype(int).sum()))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    total = int(demos.images["overhead"].astype(int).sum())
    assert done.stdout.split() == [str(len(demos)), str(total)]


def truncate(name: str) -> Damage:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:-7])


def flip_last_byte(name: str) -> Damage:
    def flip(folder: Path) -> None:
        content = bytearray((folder / name).read_bytes())
        content[-1] ^= 1
        (folder / name).write_bytes(content)

    return flip


def edit_facts(**changes: object) -> Damage:
    def edit(folder: Path) -> None:
        path = folder / "demos.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return edit


def save_pickled(folder: Path) -> None:
    np.save(folder / "overhead.npy", np.array([{}], dtype=object), allow_pickle=True)


DAMAGES = {
    "no frames": lambda folder: (folder / "overhead.npy").unlink(),
    "empty frames": lambda folder: (folder / "overhead.npy").write_bytes(b""),
    "short frames": truncate("overhead.npy"),
    "pickled frames": save_pickled,
    "no numbers": lambda folder: (folder / "demos.safetensors").unlink(),
    "short numbers": truncate("demos.safetensors"),
    "changed numbers": flip_last_byte("demos.safetensors"),
    "short facts": truncate("demos.json"),
    "no facts": lambda folder: (folder / "demos.json").unlink(),
    "facts that are a list": lambda folder: (folder / "demos.json").write_text("[]"),
    "another format": edit_facts(format=99),
    "another shape": edit_facts(cameras={"overhead": [1, 64, 64, 3]}),
    "a path out": edit_facts(cameras={"../overhead": [1, 64, 64, 3]}),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_cache_is_refused(folder: Path, damage: Damage) -> None:
    damage(folder)
    with pytest.raises(DatasetError, match=str(folder)):
        load_cache(folder)


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_cache_is_replaced(folder: Path, demos: DemoSet, damage: Damage) -> None:
    damage(folder)
    save_cache(folder, demos)
    assert_same(load_cache(folder), demos)
    assert list(folder.parent.iterdir()) == [folder]


def test_another_content_replaces_the_old(folder: Path) -> None:
    other = make_demos(seed=1)
    save_cache(folder, other)
    assert_same(load_cache(folder), other)


def test_a_folder_of_other_things_is_left_alone(tmp_path: Path, demos: DemoSet) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.tex").write_text("precious")
    with pytest.raises(DatasetError, match=r"thesis\.tex"):
        save_cache(tmp_path / "home", demos)
    assert (tmp_path / "home" / "thesis.tex").read_text() == "precious"
    assert list(tmp_path.iterdir()) == [tmp_path / "home"]


def copy_many_times(source: Path, target: Path) -> None:
    demos = load_cache(source)
    for _ in range(20):
        save_cache(target, demos)
        load_cache(target)


def test_two_processes_may_save_at_once(folder: Path, demos: DemoSet, tmp_path: Path) -> None:
    target = tmp_path / "shared" / "cache"
    context = get_context("fork")
    workers = [context.Process(target=copy_many_times, args=(folder, target)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert_same(load_cache(target), demos)
    assert list(target.parent.iterdir()) == [target]


def test_an_interrupted_save_leaves_nothing(tmp_path: Path, demos: DemoSet) -> None:
    images = demos.images["overhead"]
    broken = replace(demos, images={"good": images, "a/b": images})
    with pytest.raises(DatasetError, match="'a/b'"):
        save_cache(tmp_path / "caches" / "one", broken)
    assert list((tmp_path / "caches").iterdir()) == []


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, demos: DemoSet) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(MachineError, match="OUTTAKES_CACHE"):
        save_cache(tmp_path / "file" / "cache", demos)


@pytest.mark.parametrize("limit", [100, 5000, 100_000])
def test_a_full_disk_is_an_error_in_words(folder: Path, tmp_path: Path, limit: int) -> None:
    program = f"""
import resource
from pathlib import Path
from outtakes.data.frames import load_cache, save_cache
from outtakes.errors import MachineError
demos = load_cache(Path({str(folder)!r}))
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
try:
    save_cache(Path({str(tmp_path / "full" / "cache")!r}), demos)
except MachineError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert "no space left for the frame cache" in done.stdout
    assert list((tmp_path / "full").iterdir()) == []


def test_the_cache_lives_where_the_user_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OUTTAKES_CACHE", str(tmp_path / "own"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "shared"))
    assert cache_root() == tmp_path / "own"
    monkeypatch.delenv("OUTTAKES_CACHE")
    assert cache_root() == tmp_path / "shared" / "outtakes"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_root() == Path.home() / ".cache" / "outtakes"

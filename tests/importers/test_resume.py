"""An import that was killed goes on where it stopped, and ends as if it had not been."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from outtakes.errors import DatasetError, MachineError
from outtakes.importers import convert
from outtakes.importers.convert import import_dataset
from outtakes.importers.open import open_source
from outtakes.importers.options import ImportOptions
from outtakes.importers.robomimic import RobomimicFile
from tests.commands import SCRIPT, fingerprint
from tests.disk import full_after
from tests.importers.robomimic_files import opened, write_demos

PART = 3
"""Demonstrations of a part, here."""
LENGTHS = (4,) * (2 * PART + 2)
"""Two whole parts and a short one."""
OF_A_PROCESS = convert.PART
"""Demonstrations of a part elsewhere."""


class Stopped(Exception):
    """As a kill would."""


@dataclass
class Stopping:
    """The source, which stops the import at one demonstration, and counts what is read."""

    source: RobomimicFile
    at: str | None = None

    def __post_init__(self) -> None:
        self.demos, self.files = self.source.demos, self.source.files
        self.facts, self.glance = self.source.facts, self.source.glance
        self.count = 0

    def read(self, demo: str) -> dict[str, np.ndarray]:
        if demo == self.at:
            raise Stopped
        self.count += 1
        return self.source.read(demo)


@pytest.fixture(autouse=True, scope="module")
def small_parts() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(convert, "PART", PART)
        yield


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of several parts, which no test may change."""
    return write_demos(tmp_path_factory.mktemp("many") / "demos.hdf5", lengths=LENGTHS)


@pytest.fixture(scope="module")
def unbroken(many: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[Path, object]:
    """Every file of an unbroken import, by its path in the dataset."""
    root = tmp_path_factory.mktemp("unbroken") / "dataset"
    options = ImportOptions()
    import_dataset(open_source(many, options), many, root, options)
    return files(root)


def files(root: Path) -> dict[Path, object]:
    """Content of every file by its path; of JSON its values, which LeRobot writes in any order."""
    found = {path.relative_to(root): digest for path, digest in fingerprint(root).items()}
    told = {path: json.loads((root / path).read_text()) for path in found if path.suffix == ".json"}
    return {**found, **told}


def run(source: Stopping, path: Path, root: Path, options: ImportOptions | None = None) -> None:
    import_dataset(source, path, root, options or ImportOptions())


def source_of(path: Path, at: str | None = None) -> Stopping:
    return Stopping(RobomimicFile(path, ImportOptions()), at)


@pytest.mark.parametrize("stop", [3, PART, 2 * PART + 1])
def test_a_stopped_import_ends_as_an_unbroken_one(
    stop: int, many: Path, unbroken: dict[Path, object], tmp_path: Path
):
    root = tmp_path / "dataset"
    with pytest.raises(Stopped):
        run(source_of(many, f"demo_{stop}"), many, root)
    assert not root.exists()
    again = source_of(many)
    run(again, many, root)
    assert again.count == len(LENGTHS) - stop // PART * PART
    assert files(root) == unbroken
    assert [path.name for path in tmp_path.iterdir()] == ["dataset"]


def test_a_killed_process_leaves_nothing_that_passes_for_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(convert, "PART", OF_A_PROCESS)
    many = write_demos(tmp_path / "demos.hdf5", lengths=(4,) * (2 * OF_A_PROCESS + 3))
    root, unbroken = tmp_path / "dataset", tmp_path / "unbroken"
    process = subprocess.Popen(
        [SCRIPT, "import", many, "--out", root, "--json"], stderr=subprocess.DEVNULL
    )
    first = tmp_path / ".dataset.import" / "part-00000" / "part.json"
    second = tmp_path / ".dataset.import" / "part-00001"
    while process.poll() is None and not (first.exists() and second.exists()):
        time.sleep(0.005)
    process.kill()
    process.wait()
    assert first.exists() and not root.exists()
    again = source_of(many)
    run(again, many, root)
    assert again.count <= OF_A_PROCESS + 3
    run(source_of(many), many, unbroken)
    assert files(root) == files(unbroken)


def test_parts_of_other_data_are_not_taken(many: Path, tmp_path: Path):
    path, root = tmp_path / "demos.hdf5", tmp_path / "dataset"
    path.write_bytes(many.read_bytes())
    with pytest.raises(Stopped):
        run(source_of(path, f"demo_{PART + 1}"), path, root)
    with pytest.raises(DatasetError, match=r"unfinished import.*\.dataset\.import"):
        run(source_of(path), path, root, ImportOptions(reward_threshold=2.0))
    with opened(path) as file:
        file["data/demo_0/actions"][0, 0] = 0.5
    os.utime(path, ns=(0, 0))
    with pytest.raises(DatasetError, match="unfinished import of other data"):
        run(source_of(path), path, root)


def test_damage_met_on_the_way_may_be_skipped_on_resuming(many: Path, tmp_path: Path):
    path, root, bad = tmp_path / "demos.hdf5", tmp_path / "dataset", f"demo_{PART + 1}"
    path.write_bytes(many.read_bytes())
    with opened(path) as file:
        file[f"data/{bad}/actions"][1, 2] = np.nan
    with pytest.raises(DatasetError, match="NaN or infinity at frame 1"):
        run(source_of(path), path, root)
    again, options = source_of(path), ImportOptions()
    manifest = import_dataset(again, path, root, options, skip_bad=True)
    assert again.count == len(LENGTHS) - PART
    assert [entry.demo for entry in manifest.skipped] == [bad]
    assert [entry.demo for entry in manifest.imported][PART + 1] == f"demo_{PART + 2}"


def test_a_part_of_bad_demonstrations_alone(many: Path, tmp_path: Path):
    path, root = tmp_path / "demos.hdf5", tmp_path / "dataset"
    path.write_bytes(many.read_bytes())
    with opened(path) as file:
        for number in range(PART, 2 * PART):
            file[f"data/demo_{number}/actions"][0, 0] = np.inf
    manifest = import_dataset(source_of(path), path, root, ImportOptions(), skip_bad=True)
    assert len(manifest.skipped) == PART and len(manifest.imported) == len(LENGTHS) - PART


def test_a_full_disk_leaves_no_dataset(many: Path, unbroken: dict[Path, object], tmp_path: Path):
    root = tmp_path / "dataset"
    with full_after(2_000), pytest.raises(MachineError, match="no space left on the disk"):
        run(source_of(many), many, root)
    assert not root.exists()
    run(source_of(many), many, root)
    assert files(root) == unbroken


def test_what_is_there_is_not_touched(many: Path, tmp_path: Path):
    (tmp_path / "dataset").mkdir()
    (tmp_path / "dataset" / "mine.txt").write_text("mine")
    before = fingerprint(tmp_path)
    with pytest.raises(DatasetError, match="something there already"):
        run(source_of(many), many, tmp_path / "dataset")
    assert fingerprint(tmp_path) == before

"""Small HDF5 files and the import of them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from outtakes.importers.convert import import_dataset
from outtakes.importers.manifest import Manifest
from outtakes.importers.open import open_source
from outtakes.importers.options import ImportOptions
from tests.importers.robomimic_files import write_demos

Import = Callable[..., Manifest]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUTTAKES_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def pristine_demos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six demonstrations with images, which no test may change."""
    return write_demos(tmp_path_factory.mktemp("robomimic") / "demos.hdf5")


@pytest.fixture
def demos(pristine_demos: Path, tmp_path: Path) -> Path:
    """A copy of the demonstrations, free to be broken."""
    return Path(shutil.copy(pristine_demos, tmp_path / "demos.hdf5"))


@pytest.fixture
def imported(tmp_path: Path) -> Import:
    """Import a path with these options into `tmp_path / "dataset"`."""

    def run(path: Path, *, skip_bad: bool = False, **settings: object) -> Manifest:
        options = ImportOptions(**settings)  # pyright: ignore[reportArgumentType]
        source = open_source(path, options)
        return import_dataset(source, path, tmp_path / "dataset", options, skip_bad=skip_bad)

    return run

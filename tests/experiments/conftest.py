"""The main job of next to no work, done once."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from outtakes import api
from outtakes.experiments.folder import Folder
from outtakes.experiments.lab import Lab
from tests.experiments.small import SMALL


@dataclass
class Told:
    """What was told on the way."""

    words: list[str] = field(default_factory=list)

    def __call__(self, done: int, total: int, what: str) -> None:
        assert 0 <= done <= total
        self.words.append(what)


@dataclass(frozen=True)
class Finished:
    """A demo on a dataset that was there already, which no test may change."""

    lab: Lab
    triaged: api.Triaged
    told: Told

    @property
    def folder(self) -> Folder:
        """Its artifacts."""
        return Folder(self.lab.out)


@pytest.fixture(scope="session")
def finished(made_datasets: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """Two seeds of six arms on `lift`, two rollouts of six steps each, one state filmed."""
    out, told = tmp_path_factory.mktemp("finished") / "demo", Told()
    shutil.copytree(made_datasets / "lift", out / "dataset")
    lab = Lab(SMALL, out, progress=told)
    return Finished(lab, api.demo(lab), told)


@pytest.fixture
def copied(finished: Finished, tmp_path: Path) -> Callable[..., Folder]:
    """The finished demo again, free to be broken, without the files that are named."""

    def copy(*without: str) -> Folder:
        out = Path(shutil.copytree(finished.lab.out, tmp_path / "demo"))
        for name in without:
            (out / name).unlink()
        return Folder(out)

    return copy

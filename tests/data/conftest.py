"""Small real datasets, written by LeRobot, for tests to read and to break."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from outtakes.data.lerobot.write import write_dataset
from outtakes.data.recording import Recording
from tests.data.episodes import LENGTHS, recording


@pytest.fixture(scope="session")
def recordings() -> list[Recording]:
    """Three successes and three failures."""
    return [recording(episode, length) for episode, length in enumerate(LENGTHS)]


@pytest.fixture(scope="session")
def pristine(recordings: list[Recording], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recordings as a dataset, which no test may change."""
    return write_dataset(tmp_path_factory.mktemp("data") / "lift", recordings, fps=20)


@pytest.fixture
def dataset(pristine: Path, tmp_path: Path) -> Path:
    """A copy of the dataset, free to be broken."""
    return Path(shutil.copytree(pristine, tmp_path / "lift"))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The frame cache's place during a test."""
    monkeypatch.setenv("OUTTAKES_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"

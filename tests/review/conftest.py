"""Datasets to review and the page's server, which tests run in a thread."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from outtakes.data.lerobot.write import write_dataset
from tests.review.coded import FPS, LENGTHS, coded_recording, write_pictures
from tests.review.served import Served, serving


@pytest.fixture(scope="session")
def coded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three successes and three failures as videos of two cameras, which no test may change."""
    episodes = (coded_recording(episode, length) for episode, length in enumerate(LENGTHS))
    return write_dataset(tmp_path_factory.mktemp("review") / "coded", episodes, fps=FPS)


@pytest.fixture(scope="session")
def stored_pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three episodes without outcomes, stored as pictures."""
    return write_pictures(tmp_path_factory.mktemp("review") / "pictures", LENGTHS[:3])


@pytest.fixture
def dataset(coded: Path, tmp_path: Path) -> Path:
    """A copy of the videos, free to be labelled."""
    return Path(shutil.copytree(coded, tmp_path / "coded"))


@pytest.fixture
def serve() -> Iterator[Callable[..., Served]]:
    """Start servers that end with the test."""
    started: list[Served] = []

    def start(dataset: Path, **settings: Path) -> Served:
        started.append(serving(dataset, **settings))
        return started[-1]

    yield start
    for served in started:
        served.stop()


@pytest.fixture
def served(dataset: Path, serve: Callable[..., Served]) -> Served:
    """The page of `dataset`."""
    return serve(dataset)

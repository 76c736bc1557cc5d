"""Datasets that the tests of the plugins share."""

from __future__ import annotations

from pathlib import Path

import pytest

from outtakes.data.lerobot import write_dataset
from tests.data.episodes import recording


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A success of 12 frames, then a failure of 15: each is the other's only partner."""
    root = tmp_path_factory.mktemp("pair") / "pair"
    return write_dataset(root, [recording(0, 12), recording(1, 15)], fps=20)

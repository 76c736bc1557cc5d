"""Datasets that the tests of the plugins share."""

from __future__ import annotations

from pathlib import Path

import pytest

from outtakes.data.lerobot.write import write_dataset
from tests.commands import done
from tests.data.episodes import recording


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A success of 12 frames, then a failure of 15: each is the other's only partner."""
    root = tmp_path_factory.mktemp("pair") / "pair"
    return write_dataset(root, [recording(0, 12), recording(1, 15)], fps=20)


@pytest.fixture(scope="session")
def lift(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Lift in simulation: a success and a failure, seen from overhead at 64 x 64."""
    root = tmp_path_factory.mktemp("simulated") / "lift"
    amount = ("--successes", "1", "--failures", "1")
    done("collect", "lift", "--recipe", "smoke", *amount, "--out", root)
    return root

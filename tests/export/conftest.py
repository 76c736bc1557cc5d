"""Datasets to export, which no test may change, and their frame caches."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.commands import done
from tests.data.lerobot.varied import Camera, Robot, record

ROBOT = Robot(
    fps=25,
    cameras={
        "observation.images.top": Camera(48, 64),
        "observation.images.side": Camera(64, 64),
        "observation.images.wrist": Camera(40, 32, "image"),
    },
    tasks=("fold", "unfold", "hang"),
    lengths=(9, 12, 8, 10, 7, 11),
)
"""Three successes and three failures; the tasks are told in turn."""
SMOKE = ("--recipe", "smoke")


@pytest.fixture(scope="package")
def arm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two cameras of videos, one of pictures; one outcome overruled, two episodes dropped."""
    root = record(tmp_path_factory.mktemp("source") / "arm", ROBOT)
    (root / "episode_labels.json").write_text('{"3": "success"}')
    drop(root, 1, 4)
    return root


def drop(root: Path, *episodes: int) -> None:
    """Drop episodes as a person does in review."""
    content = {"kind": "review", "version": 1, "revision": 9, "history": []}
    (root / "review.json").write_text(json.dumps({**content, "dropped": episodes}))


@pytest.fixture(scope="package")
def exported(arm: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    """What an export of `arm` leaves, and says with --json."""
    out = tmp_path_factory.mktemp("exported") / "out"
    return out, json.loads(done("export", arm, *SMOKE, "--out", out, "--json").out)

"""Datasets of version v2.1 are read as what they are as v3.0, and are only read."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from outtakes.data.demo import Outcome
from outtakes.data.lerobot.read import read_dataset
from outtakes.data.reading import Reading
from outtakes.errors import DatasetError
from tests.commands import fingerprint
from tests.data.lerobot.test_damage import cut_in_half, only
from tests.data.lerobot.varied import Camera, Robot, record
from tests.data.lerobot.version_21 import write_version_21

ROBOT = Robot(
    fps=25,
    cameras={
        "observation.images.top": Camera(48, 64),
        "observation.images.wrist": Camera(40, 32, "image"),
    },
    tasks=("fold", "unfold"),
    lengths=(9, 12, 8),
)
CODEC_LOSS = 6.0
"""Mean absolute error of a decoded frame, of 255."""


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of version v2.1, which no test may change."""
    return write_version_21(tmp_path_factory.mktemp("old") / "arms", ROBOT)


@pytest.fixture
def old(original: Path, tmp_path: Path) -> Path:
    """A copy of the dataset, free to be broken."""
    return Path(shutil.copytree(original, tmp_path / "arms"))


def test_it_reads_as_the_same_dataset_of_version_3(original: Path, tmp_path: Path) -> None:
    before = fingerprint(original)
    ours = read_dataset(original)
    theirs = read_dataset(record(tmp_path / "new", ROBOT))
    assert fingerprint(original) == before
    for name in ("state", "action", "successes", "starts", "episode_indices"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))
    assert list(ours.tasks) == list(theirs.tasks) == ["fold", "unfold", "fold"]
    assert (ours.fps, ours.name) == (25, str(original))
    np.testing.assert_array_equal(ours.images["wrist"], theirs.images["wrist"])
    top = ours.images["top"].astype(float), theirs.images["top"].astype(float)
    assert np.abs(top[0] - top[1]).mean(axis=(1, 2, 3)).max() < CODEC_LOSS


def test_labels_are_looked_for_beside_it(old: Path) -> None:
    assert read_dataset(old).episodes(Outcome.SUCCESS) == [0, 2]
    (old / "episode_labels.json").write_text(json.dumps({"0": "failure"}))
    assert read_dataset(old).episodes(Outcome.SUCCESS) == [2]
    only = Reading(outcome_from="next.success")
    assert read_dataset(old, only).episodes(Outcome.SUCCESS) == [0, 2]


def spoil_rows(root: Path) -> None:
    cut_in_half(root / "data" / "chunk-000" / "episode_000001.parquet")


def lose_rows(root: Path) -> None:
    (root / "data" / "chunk-000" / "episode_000001.parquet").unlink()


def lose_a_video(root: Path) -> None:
    video(root, 1).unlink()


def swap_videos(root: Path) -> None:
    """The second episode's video is that of the third, four frames shorter."""
    shutil.copy(video(root, 2), video(root, 1))


def cut_the_index(root: Path) -> None:
    path = root / "meta" / "episodes.jsonl"
    path.write_text(path.read_text()[:-20])


def video(root: Path, episode: int) -> Path:
    return only(root, f"videos/*/*top/episode_{episode:06d}.mp4")


@pytest.mark.parametrize(
    ("damage", "episode", "what", "where"),
    [
        (spoil_rows, 1, "truncated or damaged", "episode_000001.parquet"),
        (lose_rows, 1, "missing", "episode_000001.parquet"),
        (lose_a_video, 1, "missing video", "episode_000001.mp4"),
        (swap_videos, 1, "no frame at 0.320 s", "episode_000001.mp4"),
        (cut_the_index, 2, "line 3 is cut short", "episodes.jsonl"),
    ],
)
def test_a_bad_episode_is_named_and_can_be_left_out(
    old: Path, damage: Callable[[Path], None], episode: int, what: str, where: str
) -> None:
    damage(old)
    with pytest.raises(DatasetError) as caught:
        read_dataset(old)
    message = str(caught.value)
    for word in (what, where, f"episode {episode}", "--skip-bad"):
        assert word in message, message
    kept = read_dataset(old, Reading(skip_bad=True))
    assert kept.episode_indices.tolist() == [e for e in range(3) if e != episode]
    assert set(kept.provenance.skipped) == {episode}


def test_any_line_of_the_index_may_tell_an_outcome(old: Path) -> None:
    info = json.loads((old / "meta" / "info.json").read_text())
    info["features"].pop("next.success")
    (old / "meta" / "info.json").write_text(json.dumps(info))
    path = old / "meta" / "episodes.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line, told in zip(lines, ({}, {"success": False}, {"success": True}), strict=True):
        line.update(told)
    path.write_text("\n".join(map(json.dumps, lines)))
    with pytest.raises(DatasetError, match="no outcome for episode 0"):
        read_dataset(old)
    (old / "episode_labels.json").write_text('{"0": "success"}')
    assert read_dataset(old).episodes(Outcome.SUCCESS) == [0, 2]


def test_fractional_rates_and_a_last_frame_that_lasts_longer(tmp_path: Path) -> None:
    robot = replace(ROBOT, fps=29.97, lengths=(5, 4))  # pyright: ignore[reportArgumentType]
    root = write_version_21(tmp_path / "arms", robot, last=4)
    demos = read_dataset(root)
    assert demos.fps == 29.97
    brightness = demos.images["top"].mean(axis=(1, 2, 3))
    expected = [frames["observation.images.top"].mean() for frames in robot.frames()]
    np.testing.assert_allclose(brightness, expected, atol=1.5)

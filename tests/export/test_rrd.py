"""What Rerun reads back from a recording is what the dataset holds."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image
from rerun.experimental import RrdReader

from outtakes.data.demo import DemoSet
from outtakes.data.lerobot.read import read_dataset
from outtakes.data.reading import Reading
from outtakes.ranking.scores import FailureScore, Scores
from tests.commands import done, fingerprint, refused
from tests.data.lerobot.test_as_recorded import trim
from tests.data.lerobot.test_damage import cut_in_half, only
from tests.data.lerobot.varied import Camera
from tests.data.lerobot.version_21 import write_version_21
from tests.export.conftest import ROBOT
from tests.export.test_dataset import as_one_stream, shorten
from tests.ranking.rankings import make_scores

FAILURES = {1: 2.0, 5: 1.0}
"""Failure of `arm` -> K̄."""


@pytest.fixture(scope="module")
def scores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scores") / "scores.json"
    ranking(ROBOT.lengths).save(path)
    return path


def ranking(lengths: Sequence[int]) -> Scores:
    scored = [
        FailureScore(e, {0: k}, np.linspace(0, k, lengths[e]).tolist(), 0)
        for e, k in FAILURES.items()
    ]
    return replace(make_scores(), failures=scored)


@pytest.fixture(scope="module")
def recording(arm: Path, scores: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rrd") / "arm.rrd"
    before = fingerprint(arm)
    done("rerun", arm, "--scores", scores, "--out", path)
    assert fingerprint(arm) == before
    return path


@pytest.fixture(scope="module")
def demos(arm: Path) -> DemoSet:
    return read_dataset(arm)


def entities(path: Path) -> dict[str, dict[str, list[Any]]]:
    """Entity -> column -> values, as Rerun's own reader gives them."""
    found: dict[str, dict[str, list[Any]]] = {}
    for chunk in RrdReader(path).stream().to_chunks():
        batch = chunk.to_record_batch()
        columns = dict(zip(batch.schema.names, batch.columns, strict=True))
        own = found.setdefault(str(chunk.entity_path), {})
        for name, column in columns.items():
            own.setdefault(name, []).extend(column.to_pylist())
    return found


@pytest.fixture(scope="module")
def read_back(recording: Path) -> dict[str, dict[str, list[Any]]]:
    return entities(recording)


def home_of(demos: DemoSet, i: int) -> str:
    return f"/{'success' if demos.successes[i] else 'failure'}/episode_{i:04d}"


def test_numbers_come_back_on_both_timelines(demos: DemoSet, read_back: dict) -> None:
    for i, demo in enumerate(demos):
        for name, values in (("observation.state", demo.state), ("action", demo.action)):
            logged = read_back[f"{home_of(demos, i)}/{name}"]
            np.testing.assert_array_equal(logged["Scalars:scalars"], values)
            assert logged["frame"] == list(range(len(demo)))
            seconds = [time.total_seconds() for time in logged["seconds"]]
            np.testing.assert_allclose(seconds, np.arange(len(demo)) / ROBOT.fps, atol=1e-6)
        success = read_back[f"{home_of(demos, i)}/next.success"]["Scalars:scalars"]
        # Recorded, not labelled: the label of episode 3 changes only where it stands in the tree.
        assert success == [[0.0]] * (len(demo) - 1) + [[float(i % 2 == 0)]]


def test_divergence_comes_back_for_the_failures_that_were_ranked(
    scores: Path, read_back: dict
) -> None:
    ranked = {path: v for path, v in read_back.items() if path.endswith("/score")}
    assert set(ranked) == {f"/failure/episode_{e:04d}/score" for e in FAILURES}
    for failure in Scores.load(scores).failures:
        logged = ranked[f"/failure/episode_{failure.episode:04d}/score"]
        assert [row[0] for row in logged["Scalars:scalars"]] == failure.over_time


def assert_camera(logged: dict[str, list[Any]], frames: np.ndarray) -> None:
    """Each time step shows its own frame of the video."""
    blob = bytes(np.array(logged["AssetVideo:blob"][0], dtype=np.uint8).ravel())
    decoded: dict[int, np.ndarray] = {}
    with av.open(io.BytesIO(blob), "r") as container:
        for shown in container.decode(video=0):
            decoded[round((shown.time or 0) * 1e9)] = shown.to_ndarray(format="rgb24")
    times = [time[0] for time in logged["VideoFrameReference:timestamp"]]
    assert len(times) == len(frames)
    for time, frame in zip(times, frames, strict=True):
        np.testing.assert_array_equal(decoded[min(decoded, key=lambda t: abs(t - time))], frame)
        assert min(abs(t - time) for t in decoded) < 1000, "shown a frame too early"


@pytest.mark.parametrize("camera", ["top", "side"])
def test_videos_come_back_frame_for_frame(camera: str, demos: DemoSet, read_back: dict) -> None:
    for i, demo in enumerate(demos):
        assert_camera(read_back[f"{home_of(demos, i)}/camera/{camera}"], demo.images[camera])


def test_pictures_come_back_as_they_are_stored(demos: DemoSet, read_back: dict) -> None:
    for i, demo in enumerate(demos):
        logged = read_back[f"{home_of(demos, i)}/camera/wrist"]["EncodedImage:blob"]
        for content, frame in zip(logged, demo.images["wrist"], strict=True):
            picture = Image.open(io.BytesIO(bytes(np.array(content, dtype=np.uint8).ravel())))
            np.testing.assert_array_equal(np.asarray(picture), frame)


def test_the_blueprint_and_the_table_put_the_nearest_failure_first(
    recording: Path, read_back: dict
) -> None:
    kinds = [entry.kind for entry in (*RrdReader(recording).blueprints(),)]
    assert kinds == ["blueprint"]
    text = read_back["/episodes"]["TextDocument:text"][0][0]
    assert [line.split()[1] for line in text.splitlines()[2:]] == ["5", "1", "0", "2", "3", "4"]
    assert "| 5 | failure | 1 | 1 | 11 | hang |" in text


def test_a_video_that_cannot_be_cut_is_there_as_a_whole(arm: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(arm, tmp_path / "arm"))
    as_one_stream(only(root, "videos/*.top/*/*.mp4"))
    done("rerun", root, "--episodes", "2", "--out", tmp_path / "arm.rrd")
    found = entities(tmp_path / "arm.rrd")
    assert_camera(found["/success/episode_0002/camera/top"], read_dataset(root)[2].images["top"])


def test_only_the_episodes_asked_for_are_shown(arm: Path, tmp_path: Path) -> None:
    out = tmp_path / "some.rrd"
    told = json.loads(done("rerun", arm, "--episodes", "4,0-1", "--out", out, "--json").out)
    assert told == {"recording": str(out), "episodes": [0, 1, 4]}
    assert {path.split("/")[2] for path in entities(out) if "episode_" in path} == {
        f"episode_000{i}" for i in (0, 1, 4)
    }


def test_a_mistake_is_one_line(arm: Path, scores: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.rrd"
    assert "unknown episode '9'" in refused("rerun", arm, "--episodes", "9", "--out", out)
    assert "inside the dataset" in refused("rerun", arm, "--out", arm / "x.rrd")
    assert "name a .rrd file" in refused("rerun", arm, "--out", tmp_path / "x.mp4")
    assert "no scores file" in refused("rerun", arm, "--scores", tmp_path / "s", "--out", out)
    other = tmp_path / "other.json"
    ranking((1, 2, 3, 4, 5, 6)).save(other)
    line = refused("rerun", arm, "--scores", other, "--out", out)
    assert "rank episode 5 of 6 frames, which the dataset does not have" in line
    assert not out.exists()


def test_a_damaged_video_is_one_line(arm: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(arm, tmp_path / "arm"))
    video = only(root, "videos/*.top/*/*.mp4")
    shorten(video)
    flags = ("rerun", root, "--out", tmp_path / "x.rrd")
    line = refused(*flags)
    assert "no frame at 1.160 s" in line and "episode 3" in line
    cut_in_half(video)
    assert "truncated or damaged" in refused(*flags)
    video.unlink()
    assert "missing video" in refused(*flags)
    assert [path.name for path in tmp_path.iterdir()] == ["arm"]


def test_without_rerun_it_is_one_line(arm: Path, tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['rerun'] = None\n"
        "from outtakes.cli import main\n"
        f"main(['rerun', {str(arm)!r}, '--out', {str(tmp_path / 'x.rrd')!r}])"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert finished.returncode == 2
    assert finished.stderr == (
        "outtakes: rerun needs rerun, not installed here: pip install 'outtakes[rerun]'\n"
    )


@pytest.mark.parametrize(("codec", "pixels"), [("mpeg4", "yuv420p"), ("mjpeg", "yuvj420p")])
def test_codecs_that_the_viewer_does_not_play_are_shown_as_pictures(
    codec: str, pixels: str, tmp_path: Path
) -> None:
    robot = replace(
        ROBOT, cameras={"observation.images.top": Camera(48, 64)}, lengths=(5, 4), tasks=("fold",)
    )
    root = write_version_21(tmp_path / "arm", robot, codec=codec, pixels=pixels)
    done("rerun", root, "--out", tmp_path / "arm.rrd")
    logged = entities(tmp_path / "arm.rrd")
    for home, demo in zip(
        ("/success/episode_0000", "/failure/episode_0001"), read_dataset(root), strict=True
    ):
        blobs = logged[f"{home}/camera/top"]["EncodedImage:blob"]
        assert len(blobs) == len(demo)
        for blob, frame in zip(blobs, demo.images["top"], strict=True):
            content = bytes(np.array(blob, dtype=np.uint8).ravel())
            shown = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
            assert np.abs(shown.astype(int) - frame).mean() < 2


def test_times_that_begin_late_show_their_own_pictures(arm: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(arm, tmp_path / "arm"))
    trim(root, 3, renumber=True)
    done("rerun", root, "--episodes", "1", "--out", tmp_path / "arm.rrd")
    logged = entities(tmp_path / "arm.rrd")["/failure/episode_0001/camera/top"]
    frames = read_dataset(arm, Reading(cameras=["top"]))[1].images["top"]
    assert_camera(logged, frames[3:])

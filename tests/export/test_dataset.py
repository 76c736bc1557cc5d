"""The exported dataset is the kept episodes of the source, frame for frame."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow.parquet as pq
import pytest

from outtakes.data.demo import DemoSet
from outtakes.data.lerobot.cutting import cut
from outtakes.data.lerobot.read import read_dataset
from outtakes.data.reading import Reading
from tests.commands import TINY, done, fingerprint, refused
from tests.data.lerobot.test_as_recorded import trim
from tests.data.lerobot.test_damage import cut_in_half, edit_column, only
from tests.data.lerobot.varied import record
from tests.data.lerobot.version_21 import write_version_21
from tests.export.conftest import ROBOT, SMOKE, drop

CODEC_LOSS = 6.0
"""Mean absolute error of a frame that was encoded again, of 255."""
OWN = ("index", "episode_index", "task_index")
"""Columns that number anew."""


def assert_same(source: DemoSet, kept: list[int], exported: DemoSet, *, loss: float = 0.0) -> None:
    """Episode i of the export is the i-th kept one of the source."""
    assert exported.episode_indices.tolist() == list(range(len(kept)))
    chosen = source.subset(kept)
    assert list(chosen.tasks) == list(exported.tasks)
    assert chosen.images.keys() == exported.images.keys()
    for name in ("successes", "lengths"):
        np.testing.assert_array_equal(getattr(chosen, name), getattr(exported, name))
    here, there = chosen.rows(), exported.rows()
    for name in ("state", "environment_state", "action"):
        np.testing.assert_array_equal(getattr(chosen, name)[here], getattr(exported, name)[there])
    for camera, frames in chosen.images.items():
        off = np.abs(frames[here].astype(int) - exported.images[camera][there]).mean(axis=(1, 2, 3))
        assert off.max() <= loss, camera


def test_every_frame_is_that_of_the_source(arm: Path, exported: tuple[Path, dict]) -> None:
    out, told = exported
    assert told["kept"] == [0, 2, 3, 5] and told["videos"] == {"copied": 0, "cut": 2, "encoded": 0}
    assert_same(read_dataset(arm), [0, 2, 3, 5], read_dataset(out / "dataset"))


def test_every_other_column_is_kept_too(arm: Path, exported: tuple[Path, dict]) -> None:
    source, new = (
        pq.read_table(only(root, "data/*/*.parquet")) for root in (arm, exported[0] / "dataset")
    )
    assert source.schema.names == new.schema.names
    kept = source.filter(np.isin(source["episode_index"].to_numpy(), [0, 2, 3, 5]))
    for name in set(source.schema.names) - set(OWN):
        assert kept[name].to_pylist() == new[name].to_pylist(), name
    assert new["index"].to_pylist() == list(range(len(new)))


def test_lerobot_reads_it_with_its_videos(exported: tuple[Path, dict]) -> None:
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    dataset = LeRobotDataset("local/x", root=exported[0] / "dataset", video_backend="pyav")
    assert (dataset.num_episodes, dataset.num_frames) == (4, 9 + 8 + 10 + 11)
    last: Any = dataset[dataset.num_frames - 1]
    assert (last["task"], int(last["episode_index"])) == ("hang", 3)
    assert last["observation.images.top"].shape == (3, 48, 64)


def test_the_map_names_every_episode(exported: tuple[Path, dict]) -> None:
    out, told = exported
    written = json.loads((out / "dataset" / "meta" / "export.json").read_text())
    pairs = [(e["episode_index"], e["source_episode"]) for e in written["episodes"]]
    assert pairs == [(0, 0), (1, 2), (2, 3), (3, 5)]
    assert [e["outcome"] for e in written["episodes"]] == ["success"] * 3 + ["failure"]
    assert written["dropped"] == [1, 4]
    assert told["episodes"] == written["episodes"]


def test_all_that_is_left_is_named(exported: tuple[Path, dict]) -> None:
    out, told = exported
    assert {p.name for p in out.iterdir()} == {"dataset", "weights.parquet", "selection.json"}
    assert {told[what] for what in ("dataset", "weights", "selection")} == {
        str(path) for path in out.iterdir()
    }
    # Of the dataset that was written, as whoever trains on it gives it.
    assert told["lerobot_argument"] == "--dataset.episodes=[0,1,2,3]"


def test_the_source_stays_as_it_is_and_nothing_else_is_left(arm: Path, tmp_path: Path) -> None:
    before = fingerprint(arm)
    done("export", arm, *SMOKE, "--out", tmp_path / "out")
    assert fingerprint(arm) == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_version_21(tmp_path: Path) -> None:
    old = write_version_21(tmp_path / "old", ROBOT)
    drop(old, 3)
    before = fingerprint(old)
    told = json.loads(done("export", old, *SMOKE, "--out", tmp_path / "out", "--json").out)
    assert fingerprint(old) == before
    assert told["videos"]["encoded"] == 0
    new = tmp_path / "out" / "dataset"
    assert_same(read_dataset(old), [0, 1, 2, 4, 5], read_dataset(new))


def test_triage_reads_it_with_the_outcomes_of_the_source(
    made_datasets: Path, tmp_path: Path
) -> None:
    lift = Path(shutil.copytree(made_datasets / "lift", tmp_path / "lift"))
    (lift / "episode_labels.json").write_text('{"1": "success", "2": "failure"}')
    drop(lift, 3)
    done("export", lift, *SMOKE, "--out", tmp_path / "out")
    new, out = tmp_path / "out" / "dataset", tmp_path / "triage"
    called = done("triage", new, *TINY, "--count", "1", "--out", out, "--json")
    told = json.loads(called.out)
    # 0, 1, 2, 4, 5 of the source: its 2 and 5 are the failures
    assert sorted(
        f["episode"] for f in json.loads((out / "scores.json").read_text())["failures"]
    ) == [2, 4]
    assert len(told["kept"]) == 4


def test_two_folders_become_one_dataset(tmp_path: Path) -> None:
    pair = tmp_path / "pair"
    record(pair / "success", ROBOT)
    record(pair / "failure", ROBOT)
    drop(pair, 1, 7, 8)
    told = json.loads(done("export", pair, *SMOKE, "--out", tmp_path / "out", "--json").out)
    assert told["videos"] == {"copied": 0, "cut": 4, "encoded": 0}
    kept = [0, 2, 3, 4, 5, 6, 9, 10, 11]
    assert_same(read_dataset(pair), kept, read_dataset(tmp_path / "out" / "dataset"))


def test_facts_about_recordings_go_with_their_episodes(made_datasets: Path, tmp_path: Path) -> None:
    from outtakes.data.lerobot.metadata import read_metadata

    lift = shutil.copytree(made_datasets / "lift", tmp_path / "lift")
    drop(lift, 0, 3)
    done("export", lift, *SMOKE, "--no-weights", "--out", tmp_path / "out")
    source, new = read_metadata(lift), read_metadata(tmp_path / "out" / "dataset")
    assert [new[i] for i in range(4)] == [source[i] for i in (1, 2, 4, 5)]


def test_videos_that_cannot_be_cut_are_encoded_again(arm: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(arm, tmp_path / "arm"))
    as_one_stream(only(root, "videos/*.top/*/*.mp4"))
    told = json.loads(done("export", root, *SMOKE, "--out", tmp_path / "out", "--json").out)
    assert told["videos"] == {"copied": 0, "cut": 1, "encoded": 1}
    new = read_dataset(tmp_path / "out" / "dataset")
    assert_same(read_dataset(root), [0, 2, 3, 5], new, loss=CODEC_LOSS)


def as_one_stream(path: Path) -> None:
    """Encode a video again with a single key frame."""
    frames: list[av.VideoFrame] = []
    with av.open(str(path)) as container:
        frames += container.decode(video=0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=ROBOT.fps, options={"g": "1000"})
        stream.height, stream.width, stream.pix_fmt = frames[0].height, frames[0].width, "yuv420p"
        for i, frame in enumerate(frames):
            again = av.VideoFrame.from_ndarray(frame.to_ndarray(format="rgb24"), format="rgb24")
            again.pts = i
            container.mux(stream.encode(again))
        container.mux(stream.encode())


def test_a_file_whose_episodes_are_all_kept_is_copied(arm: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(arm, tmp_path / "arm"))
    (root / "review.json").unlink()
    told = json.loads(done("export", root, *SMOKE, "--out", tmp_path / "out", "--json").out)
    assert told["videos"] == {"copied": 2, "cut": 0, "encoded": 0}
    for video in sorted(root.rglob("*.mp4")):
        copy = tmp_path / "out" / "dataset" / video.relative_to(root)
        assert copy.read_bytes() == video.read_bytes()


def test_a_corrupt_episode_is_left_out_when_asked(arm: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(arm, tmp_path / "arm"))

    def spoil(actions: list) -> list:
        return [[float("nan")] * 6, *actions[1:]]

    edit_column(only(root, "data/*/*.parquet"), "action", spoil)
    before = fingerprint(root)
    line = refused("export", root, *SMOKE, "--out", tmp_path / "out")
    assert "episode 0" in line and "--skip-bad" in line
    called = done("export", root, *SMOKE, "--skip-bad", "--out", tmp_path / "out", "--json")
    told = json.loads(called.out)
    assert told["kept"] == [2, 3, 5] and [s["episode"] for s in told["skipped"]] == [0]
    assert fingerprint(root) == before
    source = read_dataset(root, Reading(skip_bad=True))
    assert_same(source, [2, 3, 5], read_dataset(tmp_path / "out" / "dataset"))


def test_a_file_that_holds_corrupt_episodes_alone_may_be_damaged(tmp_path: Path) -> None:
    pair = tmp_path / "pair"
    record(pair / "success", ROBOT)
    record(pair / "failure", ROBOT)
    cut_in_half(only(pair, "failure/data/*/*.parquet"))
    flags = (*SMOKE, "--skip-bad", "--out", tmp_path / "out", "--json")
    told = json.loads(done("export", pair, *flags).out)
    assert told["kept"] == list(range(6)) and len(told["skipped"]) == 6


def test_a_picture_that_lies_elsewhere_is_not_fetched(arm: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(arm, tmp_path / "arm"))
    secret = tmp_path / "secret.png"
    secret.write_bytes(b"not for others")

    def point(images: list) -> list:
        return [{"bytes": None, "path": str(secret)}, *images[1:]]

    edit_column(only(root, "data/*/*.parquet"), "observation.images.wrist", point)
    line = refused("export", root, *SMOKE, "--cameras", "top", "--out", tmp_path / "out")
    assert "not in the file" in line and not (tmp_path / "out").exists()


def test_a_damaged_video_that_was_not_read_is_noticed(arm: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(arm, tmp_path / "arm"))
    video = only(root, "videos/*.top/*/*.mp4")
    flags = (*SMOKE, "--cameras", "side", "--out", tmp_path / "out")
    shorten(video)
    line = refused("export", root, *flags)
    assert "no frame at 1.160 s" in line and "episode 3" in line
    cut_in_half(video)
    assert "truncated or damaged" in refused("export", root, *flags)
    video.unlink()
    assert "missing video" in refused("export", root, *flags)
    assert [path.name for path in tmp_path.iterdir()] == ["arm"]


def shorten(path: Path) -> None:
    """Cut the second half of a video off, in a file that is sound."""
    whole = path.with_suffix(".whole")
    path.rename(whole)
    assert cut(whole, path, [(0, sum(ROBOT.lengths[:3]))], ROBOT.fps)
    whole.unlink()


@pytest.mark.parametrize("place", ["", "meta/out", "../arm/out"])
def test_an_export_into_the_dataset_is_refused(arm: Path, place: str) -> None:
    before = fingerprint(arm)
    line = refused("export", arm, *SMOKE, "--out", arm / place)
    assert "inside the dataset" in line
    assert fingerprint(arm) == before


def test_a_folder_that_is_taken_is_refused(arm: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    assert "something there already" in refused("export", arm, *SMOKE, "--out", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


# Sources that LeRobot's own tools trip over


def renumber(root: Path, numbers: list[int]) -> None:
    """Give the episodes other indices, as a recorder that lost some leaves them."""
    edit_column(only(root, "meta/episodes/*/*.parquet"), "episode_index", lambda _: numbers)
    edit_column(
        only(root, "data/*/*.parquet"), "episode_index", lambda old: [numbers[e] for e in old]
    )


def test_gaps_in_the_numbers_are_closed(arm: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(arm, tmp_path / "arm"))
    numbers = [0, 1, 4, 5, 6, 9]
    renumber(root, numbers)
    (root / "episode_labels.json").write_text('{"5": "success"}')
    drop(root, 1, 6)
    listed = done("review", root, "--export", tmp_path / "kept.json").out
    assert "--dataset.episodes" not in listed and "not numbered 0, 1, 2" in listed
    command = shlex.split(listed.splitlines()[-1])
    told = json.loads(done(*command[1:], "--json").out)
    assert told["kept"] == [0, 4, 5, 9]
    assert told["lerobot_argument"] == "--dataset.episodes=[0,1,2,3]"
    new = Path(told["dataset"])
    assert_same(read_dataset(root), [0, 4, 5, 9], read_dataset(new))
    assert_lerobot_sees_the_same(new)


def test_times_that_begin_late_are_begun_anew(arm: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(arm, tmp_path / "arm"))
    trim(root, 3, renumber=True)
    done("export", root, "--out", tmp_path / "out")
    new = tmp_path / "out" / "dataset"
    source, exported = read_dataset(root, BLIND), read_dataset(new, BLIND)
    assert_same(source, [0, 2, 3, 5], exported, loss=CODEC_LOSS)
    assert read_rows_of(new, "timestamp")[:3] == pytest.approx([0, 0.04, 0.08])
    assert_lerobot_sees_the_same(new)


BLIND = Reading(cameras=["top", "side"])


def read_rows_of(root: Path, column: str) -> list:
    return pq.read_table(only(root, "data/*/*.parquet"))[column].to_pylist()


def assert_lerobot_sees_the_same(root: Path) -> None:
    """LeRobot finds, at every frame of a dataset, the picture that reading it gives."""
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    ours = read_dataset(root, BLIND)
    theirs = LeRobotDataset("local/x", root=root, video_backend="pyav", return_uint8=True)
    assert len(theirs) == len(ours.action)
    for row in range(len(theirs)):
        frame: Any = theirs[row]
        for camera, frames in ours.images.items():
            picture = frame[f"observation.images.{camera}"].numpy().transpose(1, 2, 0)
            np.testing.assert_array_equal(picture, frames[row])


def test_a_selection_serves_whatever_the_image_size(arm: Path, tmp_path: Path) -> None:
    selection = tmp_path / "selection.json"
    done("review", arm, "--export", selection)
    for size in ("32", "48"):
        flags = ("--image-size", size, "--select", selection, "--no-lerobot")
        done("export", arm, *flags, "--out", tmp_path / size)
    root = Path(shutil.copytree(arm, tmp_path / "arm"))
    (root / "episode_labels.json").write_text('{"0": "failure", "3": "success"}')
    line = refused("export", root, "--select", selection, "--out", tmp_path / "out")
    assert "episode 0 was a success when the selection was made, and is a failure now" in line

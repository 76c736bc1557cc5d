"""Bad datasets, each made from a real one: one line that says what, where and the way out."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from outtakes.data.lerobot.read import read_dataset
from outtakes.data.lerobot.write import write_dataset
from outtakes.data.reading import Reading
from outtakes.data.recording import Recording
from outtakes.errors import DatasetError, MachineError
from tests.data.episodes import LENGTHS


def assert_refused(root: Path, cache: Path, *words: str) -> None:
    """Reading fails in one line with these words, and leaves the disk as it was."""
    before = snapshot(root)
    with pytest.raises(DatasetError) as caught:
        read_dataset(root)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message, message
    assert caught.value.remedy
    assert list(cache.glob("*")) == []
    assert list(cache.glob(".*")) == []
    assert snapshot(root) == before


def snapshot(root: Path) -> dict[Path, int]:
    """When each file and folder was last changed."""
    return {path: path.stat().st_mtime_ns for path in [root, *root.rglob("*")] if path.exists()}


def only(root: Path, pattern: str) -> Path:
    (path,) = root.glob(pattern)
    return path


def edit_info(root: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    path = root / "meta" / "info.json"
    info = json.loads(path.read_text())
    edit(info)
    path.write_text(json.dumps(info))


def edit_column(path: Path, name: str, edit: Callable[[list], list]) -> None:
    table = pq.read_table(path)
    index = table.schema.get_field_index(name)
    values = pa.array(edit(table[name].to_pylist()))
    pq.write_table(table.set_column(index, name, values), path)


def cut_in_half(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


# Not a dataset of ours


def test_no_folder(tmp_path: Path, cache: Path) -> None:
    assert_refused(tmp_path / "lerobot" / "pusht", cache, "pusht", "owner/name")


def test_a_file(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "file").write_text("no dataset")
    with pytest.raises(DatasetError, match="no such dataset folder"):
        read_dataset(tmp_path / "file")


def test_some_other_folder(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "other").mkdir()
    assert_refused(tmp_path / "other", cache, "not a LeRobot dataset", "meta/info.json", "other")


@pytest.mark.parametrize("version", ["v1.6", "v2.0", "v4.0", None])
def test_other_versions(dataset: Path, cache: Path, version: str | None) -> None:
    edit_info(dataset, lambda info: info.update(codebase_version=version))
    assert_refused(dataset, cache, f"version {version}", "v3.0")


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"codebase_version": "v3.0"}'])
def test_a_damaged_description(dataset: Path, cache: Path, content: str) -> None:
    (dataset / "meta" / "info.json").write_text(content)
    assert_refused(dataset, cache, "info.json")


# Labels and values


def test_no_labels(dataset: Path, cache: Path) -> None:
    edit_info(dataset, lambda info: info["features"].pop("next.success"))
    assert_refused(dataset, cache, "no outcome for episode 0", "episode_labels.json", "is_success")


def test_nan_actions(dataset: Path, cache: Path) -> None:
    def spoil(actions: list) -> list:
        actions[LENGTHS[0] + 4][2] = float("nan")
        return actions

    edit_column(only(dataset, "data/*/*.parquet"), "action", spoil)
    assert_refused(dataset, cache, "action is not finite at frame 4", "episode 1")


def test_actions_of_another_width(dataset: Path, cache: Path) -> None:
    def widen(actions: list) -> list:
        start = sum(LENGTHS[:3])
        return actions[:start] + [[*a, 0.0] for a in actions[start:]]

    path = only(dataset, "data/*/*.parquet")
    edit_column(path, "action", widen)
    assert_refused(dataset, cache, "action has 8 values", "7 in others", str(path), "episode 3")


def test_a_file_of_another_width(dataset: Path, cache: Path) -> None:
    path = only(dataset, "data/*/*.parquet")
    second = path.with_name("file-001.parquet")
    table, cut = pq.read_table(path), sum(LENGTHS[:5])
    pq.write_table(table.slice(0, cut), path)
    pq.write_table(table.slice(cut), second)
    edit_column(second, "action", lambda actions: [[*a, 0.0] for a in actions])
    index = only(dataset, "meta/episodes/*/*.parquet")
    edit_column(index, "data/file_index", lambda files: [*files[:-1], 1])
    assert_refused(dataset, cache, "action of shape (8,)", str(second))


def test_missing_values(dataset: Path, cache: Path) -> None:
    path = only(dataset, "data/*/*.parquet")
    edit_column(path, "action", lambda values: [[None] * 7, *values[1:]])
    assert_refused(dataset, cache, "action is not finite at frame 0", "episode 0", str(path))


# Files


def test_a_truncated_parquet(dataset: Path, cache: Path) -> None:
    path = only(dataset, "data/*/*.parquet")
    cut_in_half(path)
    assert_refused(dataset, cache, "truncated or damaged", str(path))


def test_a_missing_parquet(dataset: Path, cache: Path) -> None:
    path = only(dataset, "data/*/*.parquet")
    path.unlink()
    assert_refused(dataset, cache, str(path))


def test_a_parquet_without_actions(dataset: Path, cache: Path) -> None:
    path = only(dataset, "data/*/*.parquet")
    pq.write_table(pq.read_table(path).drop_columns("action"), path)
    assert_refused(dataset, cache, "no column action", str(path))


def test_a_dataset_without_actions(dataset: Path, cache: Path) -> None:
    edit_info(dataset, lambda info: info["features"].pop("action"))
    assert_refused(dataset, cache, "no actions")


def test_a_truncated_index(dataset: Path, cache: Path) -> None:
    path = only(dataset, "meta/episodes/*/*.parquet")
    cut_in_half(path)
    assert_refused(dataset, cache, "truncated or damaged", str(path))


def test_no_index(dataset: Path, cache: Path) -> None:
    shutil.rmtree(dataset / "meta" / "episodes")
    assert_refused(dataset, cache, "meta/episodes is empty")


def test_a_truncated_video(dataset: Path, cache: Path) -> None:
    path = only(dataset, "videos/*/*/*.mp4")
    cut_in_half(path)
    assert_refused(dataset, cache, str(path))


def test_an_empty_video(dataset: Path, cache: Path) -> None:
    path = only(dataset, "videos/*/*/*.mp4")
    path.write_bytes(b"")
    assert_refused(dataset, cache, str(path))


def test_a_missing_video(dataset: Path, cache: Path) -> None:
    path = only(dataset, "videos/*/*/*.mp4")
    path.unlink()
    assert_refused(dataset, cache, str(path))


def test_a_video_that_ends_too_soon(
    dataset: Path, recordings: list[Recording], tmp_path: Path, cache: Path
) -> None:
    path = only(dataset, "videos/*/*/*.mp4")
    shorter = write_dataset(tmp_path / "shorter", recordings[:4], fps=20)
    shutil.copy(only(shorter, "videos/*/*/*.mp4"), path)
    assert_refused(dataset, cache, "no frame at 3.000 s", str(path), "episode 4")


def test_a_video_of_another_rate(
    dataset: Path, recordings: list[Recording], tmp_path: Path, cache: Path
) -> None:
    path = only(dataset, "videos/*/*/*.mp4")
    faster = write_dataset(tmp_path / "faster", recordings, fps=30)
    shutil.copy(only(faster, "videos/*/*/*.mp4"), path)
    assert_refused(dataset, cache, "30 frames a second", "20", str(path))


def test_episodes_out_of_step_with_the_video(dataset: Path, cache: Path) -> None:
    index = only(dataset, "meta/episodes/*/*.parquet")
    column = "videos/observation.images.overhead/from_timestamp"
    edit_column(index, column, lambda times: [times[0], *(t + 0.03 for t in times[1:])])
    assert_refused(dataset, cache, "its piece of the video", "episode 1")


# The index


def test_an_index_longer_than_the_data(dataset: Path, cache: Path) -> None:
    index = only(dataset, "meta/episodes/*/*.parquet")
    edit_column(index, "length", lambda lengths: [*lengths[:-1], 99])
    assert_refused(dataset, cache, "episode 5 has 14 frames, the index tells 99")


def test_an_episode_that_is_not_in_the_data(dataset: Path, cache: Path) -> None:
    index = only(dataset, "meta/episodes/*/*.parquet")
    edit_column(index, "episode_index", lambda episodes: [*episodes[:-1], 7])
    assert_refused(dataset, cache, "episode 5 has 14 frames, the index tells 0")


def test_an_episode_listed_twice(dataset: Path, cache: Path) -> None:
    index = only(dataset, "meta/episodes/*/*.parquet")
    edit_column(index, "episode_index", lambda episodes: [*episodes[:-1], 4])
    assert_refused(dataset, cache, "episode 4 follows episode 4")


def test_an_empty_episode(dataset: Path, cache: Path) -> None:
    index = only(dataset, "meta/episodes/*/*.parquet")
    edit_column(index, "length", lambda lengths: [0, *lengths[1:]])
    assert_refused(dataset, cache, "episode 0 has 0 frames")


def test_doubled_frames(dataset: Path, cache: Path) -> None:
    path = only(dataset, "data/*/*.parquet")
    edit_column(path, "frame_index", lambda frames: [0, 0, *frames[2:]])
    assert_refused(dataset, cache, "frame_index 0 where 1 belongs", "episode 0")


def test_a_file_index_that_leads_nowhere(dataset: Path, cache: Path) -> None:
    index = only(dataset, "meta/episodes/*/*.parquet")
    edit_column(index, "data/file_index", lambda files: [*files[:-1], 7])
    edit_column(only(dataset, "data/*/*.parquet"), "episode_index", lambda e: [0] * len(e))
    assert_refused(dataset, cache, "episode 0 has 92 frames", "file-000.parquet")


@pytest.mark.parametrize("template", ["data_path", "video_path"])
@pytest.mark.parametrize("path", ["../../{chunk_index}/secret", "/etc/passwd", "..\\secret"])
def test_paths_that_lead_out(dataset: Path, cache: Path, template: str, path: str) -> None:
    edit_info(dataset, lambda info: info.update({template: path}))
    assert_refused(dataset, cache, "leads out of the dataset's folder", template, "info.json")


@pytest.mark.parametrize("path", ["data/{episode_chunk}/x", "data/{", "data/{chunk_index.real.x}"])
def test_paths_that_cannot_be_filled_in(dataset: Path, cache: Path, path: str) -> None:
    edit_info(dataset, lambda info: info.update(data_path=path))
    assert_refused(dataset, cache, "cannot be filled in", "info.json")


def test_a_camera_whose_name_leads_out(dataset: Path, cache: Path) -> None:
    def rename(info: dict[str, Any]) -> None:
        camera = info["features"].pop("observation.images.overhead")
        info["features"]["observation.images.../../out"] = camera

    edit_info(dataset, rename)
    index = only(dataset, "meta/episodes/*/*.parquet")
    table = pq.read_table(index)
    names = [n.replace("images.overhead", "images.../../out") for n in table.schema.names]
    pq.write_table(table.rename_columns(names), index)
    assert_refused(dataset, cache, "leads out of the dataset's folder")


# The machine


def test_a_cache_that_cannot_be_written(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("OUTTAKES_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(MachineError, match="OUTTAKES_CACHE"):
        read_dataset(dataset)


def test_images_of_two_sizes(
    dataset: Path, recordings: list[Recording], tmp_path: Path, cache: Path
) -> None:
    larger = [
        Recording(
            {
                name: np.repeat(np.repeat(a, 2, 1), 2, 2) if a.ndim == 4 else a
                for name, a in recording.features.items()
            },
            recording.task,
        )
        for recording in recordings
    ]
    other = write_dataset(tmp_path / "larger", larger, fps=20)
    path = only(dataset, "videos/*/*/*.mp4")
    second = path.with_name("file-001.mp4")
    shutil.copy(only(other, "videos/*/*/*.mp4"), second)
    index = only(dataset, "meta/episodes/*/*.parquet")
    column = "videos/observation.images.overhead/file_index"
    edit_column(index, column, lambda files: [*files[:-1], 1])
    assert_refused(dataset, cache, "(128, 128, 3)", str(second), "episode 5")
    assert read_dataset(dataset, Reading(image_size=32)).images["overhead"].shape[1:] == (32, 32, 3)

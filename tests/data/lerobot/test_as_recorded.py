"""Datasets that others' tools left: what is read is what was recorded, or it is refused."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from outtakes.data.demo import DemoSet, Outcome
from outtakes.data.lerobot.episode_list import unlike_lerobot
from outtakes.data.lerobot.read import read_dataset, read_table
from outtakes.data.reading import Reading
from outtakes.errors import DatasetError
from tests.data.episodes import LENGTHS
from tests.data.lerobot.test_damage import cut_in_half, edit_column, edit_info, only

SKIP = Reading(skip_bad=True)
STARTS = np.concatenate([[0], np.cumsum(LENGTHS)])
VIDEO = "videos/observation.images.overhead"


def data(root: Path) -> Path:
    return only(root, "data/*/file-000.parquet")


def index(root: Path) -> Path:
    return only(root, "meta/episodes/*/file-000.parquet")


def refusal(root: Path, reading: Reading | None = None) -> str:
    """The one line with which a dataset is refused."""
    with pytest.raises(DatasetError) as caught:
        read_dataset(root, reading)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def assert_same(found: DemoSet, expected: DemoSet) -> None:
    np.testing.assert_array_equal(found.lengths, expected.lengths)
    np.testing.assert_array_equal(found.successes, expected.successes)
    own, rows = found.rows(), expected.rows()
    for name in ("state", "action"):
        np.testing.assert_array_equal(getattr(found, name)[own], getattr(expected, name)[rows])
    np.testing.assert_array_equal(found.images["overhead"][own], expected.images["overhead"][rows])


# Where rows are, and what they are stored as


def split_in_two(root: Path, files: list[int]) -> None:
    """The last three episodes in a file of their own; the index says that they are in these."""
    table, cut = pq.read_table(data(root)), STARTS[3]
    pq.write_table(table.slice(cut), data(root).with_name("file-001.parquet"))
    pq.write_table(table.slice(0, cut), data(root))
    edit_column(index(root), "data/file_index", lambda _: files)


@pytest.mark.parametrize("files", [[0] * 6, [0, 0, 0, 0, 1, 1], [0, 0, 0, 1, 1, 9]])
def test_an_index_gone_stale_does_not_lose_rows(
    dataset: Path, pristine: Path, files: list[int]
) -> None:
    split_in_two(dataset, files)
    assert_same(read_dataset(dataset), read_dataset(pristine))


def test_rows_that_a_stray_file_doubles_count_once(dataset: Path, pristine: Path) -> None:
    table = pq.read_table(data(dataset))
    pq.write_table(table.slice(0, STARTS[2]), data(dataset).with_name("file-007.parquet"))
    assert_same(read_dataset(dataset), read_dataset(pristine))


def as_large_lists(table: pa.Table, name: str) -> pa.Array:
    return pa.array(table[name].to_pylist(), pa.large_list(pa.float64()))


def as_ones(table: pa.Table, name: str) -> pa.Array:
    return pa.array([[value] for value in table[name].to_pylist()])


def as_unsigned(table: pa.Table, name: str) -> pa.Array:
    return pa.array(table[name].to_pylist(), pa.uint64())


@pytest.mark.parametrize(
    ("change", "names"),
    [
        (as_large_lists, ("action", "observation.state")),
        (as_ones, ("episode_index", "frame_index", "timestamp", "next.success")),
        (as_unsigned, ("episode_index", "frame_index", "index")),
    ],
)
def test_files_may_differ_in_their_types(
    dataset: Path, pristine: Path, change: Callable[[pa.Table, str], pa.Array], names: tuple
) -> None:
    split_in_two(dataset, [0, 0, 0, 1, 1, 1])
    table = pq.read_table(data(dataset))
    for name in names:
        table = table.set_column(table.column_names.index(name), name, change(table, name))
    pq.write_table(table.replace_schema_metadata(None), data(dataset))
    assert_same(read_dataset(dataset), read_dataset(pristine))


def test_columns_named_as_openpi_names_them(dataset: Path, pristine: Path) -> None:
    names = {"action": "actions", "observation.state": "state"}
    table = pq.read_table(data(dataset)).replace_schema_metadata(None)
    pq.write_table(
        table.rename_columns([names.get(n, n) for n in table.column_names]), data(dataset)
    )
    edit_info(
        dataset,
        lambda info: info.update(
            features={names.get(n, n): feature for n, feature in info["features"].items()}
        ),
    )
    assert_same(read_dataset(dataset), read_dataset(pristine))
    assert unlike_lerobot(read_table(dataset)[1]) == "its action is named actions"


def drop_from_the_index(root: Path) -> None:
    pq.write_table(pq.read_table(index(root)).slice(0, 4), index(root))


def damage_a_part_of_the_index(root: Path) -> None:
    table, part = pq.read_table(index(root)), index(root).with_name("file-001.parquet")
    pq.write_table(table.slice(4), part)
    pq.write_table(table.slice(0, 4), index(root))
    cut_in_half(part)


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (drop_from_the_index, "episode 4 has 18 frames, the index tells 0"),
        (damage_a_part_of_the_index, "file-001.parquet, episode 4"),
    ],
)
def test_rows_without_an_index_are_named_and_can_be_left_out(
    dataset: Path, pristine: Path, damage: Callable[[Path], None], what: str
) -> None:
    damage(dataset)
    assert what in refusal(dataset) and "--skip-bad" in refusal(dataset)
    found = read_dataset(dataset, SKIP)
    assert_same(found, read_dataset(pristine).subset([0, 1, 2, 3]))
    assert set(found.provenance.skipped) == {4, 5}


# Times


def trim(root: Path, frames: int, *, renumber: bool) -> None:
    """Take the first frames of each episode out of the rows, and leave the videos as they are."""
    table = pq.read_table(data(root)).replace_schema_metadata(None)
    table = table.filter(pa.array(table["frame_index"].to_numpy() >= frames))
    pq.write_table(table, data(root))
    if renumber:
        edit_column(data(root), "frame_index", lambda found: [f - frames for f in found])
    edit_column(index(root), "length", lambda lengths: [n - frames for n in lengths])


@pytest.mark.parametrize("renumber", [True, False])
def test_rows_trimmed_at_the_start_keep_their_pictures(
    dataset: Path, pristine: Path, renumber: bool
) -> None:
    trim(dataset, 3, renumber=renumber)
    found, whole = read_dataset(dataset), read_dataset(pristine)
    kept = np.concatenate([np.arange(a + 3, a + n) for a, n in zip(STARTS, LENGTHS, strict=False)])
    np.testing.assert_array_equal(found.action, whole.action[kept])
    np.testing.assert_array_equal(found.images["overhead"], whole.images["overhead"][kept])


def test_rows_beyond_their_piece_of_the_video_show_no_other_episode(
    dataset: Path, pristine: Path
) -> None:
    def two_fewer(ends: list) -> list:
        return [*ends[:2], ends[2] - 2 / 20, *ends[3:]]

    edit_column(index(dataset), f"{VIDEO}/to_timestamp", two_fewer)
    line = refusal(dataset)
    assert "frame 18 is at 0.9 s, its piece of the video" in line and "episode 2" in line
    assert_same(read_dataset(dataset, SKIP), read_dataset(pristine).subset([0, 1, 3, 4, 5]))


@pytest.mark.parametrize("step", [0, -1])
def test_times_that_do_not_go_on_are_refused(dataset: Path, step: int) -> None:
    def spoil(times: list) -> list:
        row = STARTS[1] + 5
        return [*times[:row], times[row - 1] + step / 20, *times[row + 1 :]]

    edit_column(data(dataset), "timestamp", spoil)
    assert "s at frame 5 follows 0.2 s" in refusal(dataset)
    assert "episode 1" in refusal(dataset)
    assert set(read_dataset(dataset, SKIP).provenance.skipped) == {1}


# Values and outcomes


def test_values_that_no_robot_has_are_named(dataset: Path) -> None:
    def spoil(actions: list) -> list:
        actions[STARTS[3] + 2][1] = -1e30
        return actions

    edit_column(data(dataset), "action", spoil)
    assert "action is 1e+30 at frame 2" in refusal(dataset) and "episode 3" in refusal(dataset)
    assert set(read_dataset(dataset, SKIP).provenance.skipped) == {3}


@pytest.mark.parametrize("nothing", [float("nan"), None])
def test_what_nobody_told_is_no_failure(dataset: Path, nothing: float | None) -> None:
    def untell(values: list) -> list:
        told = [float(v) for v in values]
        return [*told[: STARTS[1]], *[nothing] * LENGTHS[1], *told[STARTS[2] :]]

    edit_column(data(dataset), "next.success", untell)
    edit_info(dataset, lambda info: info["features"]["next.success"].update(dtype="float32"))
    assert "no outcome for episode 1" in refusal(dataset)
    (dataset / "episode_labels.json").write_text('{"1": "failure"}')
    assert read_dataset(dataset).episodes(Outcome.FAILURE) == [1, 3, 5]


# Distances


def store_as_pictures(root: Path, picture: np.ndarray) -> None:
    """A camera whose every frame is this one, stored as a PNG file."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    table = pq.read_table(data(root)).replace_schema_metadata(None)
    images = pa.array([{"bytes": file.getvalue(), "path": None}] * len(table))
    pq.write_table(table.append_column("observation.images.side", images), data(root))
    camera = {"dtype": "image", "shape": list(picture.shape), "names": None}
    edit_info(root, lambda info: info["features"].update({"observation.images.side": camera}))


def test_gray_pictures_come_back_as_they_are(dataset: Path) -> None:
    gray = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64).astype(np.uint8)
    store_as_pictures(dataset, gray)
    side = read_dataset(dataset).images["side"]
    np.testing.assert_array_equal(side[7], np.repeat(gray[:, :, None], 3, axis=2))


def test_distances_are_no_pictures(dataset: Path) -> None:
    store_as_pictures(dataset, np.full((64, 64), 1500, np.uint16))
    line = refusal(dataset)
    assert "distances" in line and "episode 0" in line and "--cameras" in line
    assert list(read_dataset(dataset, Reading(cameras=["overhead"])).images) == ["overhead"]

    def say_so(info: dict[str, Any]) -> None:
        side = info["features"]["observation.images.side"]
        side["video_info"] = {"video.is_depth_map": True}

    edit_info(dataset, say_so)
    assert list(read_dataset(dataset).images) == ["overhead"]


# Identity


def test_what_a_dataset_is_does_not_depend_on_how_it_is_read(
    pristine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = (read_dataset(pristine, Reading(image_size=size)) for size in (16, 32))
    assert one.images["overhead"].shape != other.images["overhead"].shape
    monkeypatch.setattr("outtakes.data.lerobot.video._timed_frames", None)
    table, _ = read_table(pristine)
    assert one.content_hash == other.content_hash == table.content_hash
    np.testing.assert_array_equal(table.action, one.action)
    np.testing.assert_array_equal(table.successes, one.successes)

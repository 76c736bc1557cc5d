"""Episodes are listed for LeRobot exactly where it takes them for the same takes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lerobot.datasets.lerobot_dataset import LeRobotDataset

from outtakes.data.lerobot.episode_list import unlike_lerobot
from outtakes.data.lerobot.read import read_table
from tests.commands import done
from tests.data.lerobot.test_as_recorded import STARTS, as_large_lists, as_ones, data, split_in_two
from tests.data.lerobot.test_damage import cut_in_half

KEPT = [0, 2, 5]


def stored_as(kind: type) -> Callable[[pa.Table, str], pa.Array]:
    return lambda table, name: pa.array([np.array(row, kind) for row in table[name].to_pylist()])


def stores(change: Callable[[pa.Table, str], pa.Array], *names: str) -> Callable[[Path], None]:
    def apply(root: Path) -> None:
        table = pq.read_table(data(root))
        for name in names:
            table = table.set_column(table.column_names.index(name), name, change(table, name))
        pq.write_table(table.replace_schema_metadata(None), data(root))

    return apply


def in_the_last_file_alone(root: Path) -> None:
    split_in_two(root, [0, 0, 0, 1, 1, 1])
    last = data(root).with_name("file-001.parquet")
    table = pq.read_table(last)
    column = as_ones(table, "index")
    table = table.set_column(table.column_names.index("index"), "index", column)
    pq.write_table(table.replace_schema_metadata(None), last)


def adds_a_column(root: Path) -> None:
    table = pq.read_table(data(root)).replace_schema_metadata(None)
    pq.write_table(table.append_column("note", pa.array(["x"] * len(table))), data(root))


def lacks_a_column(root: Path) -> None:
    table = pq.read_table(data(root)).replace_schema_metadata(None)
    pq.write_table(table.drop_columns(["task_index"]), data(root))


def doubles_rows(root: Path) -> None:
    table = pq.read_table(data(root))
    pq.write_table(table.slice(0, STARTS[2]), data(root).with_name("file-007.parquet"))


def adds_a_damaged_file(root: Path) -> None:
    doubles_rows(root)
    cut_in_half(data(root).with_name("file-007.parquet"))


def names_a_file_that_is_not(root: Path) -> None:
    split_in_two(root, [0, 0, 0, 1, 1, 9])


CASES: list[tuple[Callable[[Path], None], str | None]] = [
    (lambda root: None, None),
    (names_a_file_that_is_not, None),
    (stores(stored_as(np.float64), "action"), None),
    (stores(as_large_lists, "action"), None),
    (in_the_last_file_alone, "file-001.parquet stores index as list"),
    (stores(as_ones, "episode_index"), "stores episode_index as list"),
    (stores(as_ones, "next.success"), "stores next.success as list"),
    (adds_a_column, "holds note"),
    (lacks_a_column, "lacks task_index"),
    (doubles_rows, "frames, its index tells"),
    (adds_a_damaged_file, "file-007.parquet: parquet file is truncated"),
]


def taken_by_lerobot(root: Path) -> list[float] | None:
    """The first action of every frame that LeRobot takes; None when it cannot."""
    try:
        theirs = LeRobotDataset("local/x", root=root, episodes=KEPT, video_backend="pyav")
        found = [float(action[0]) for action in theirs.hf_dataset["action"]]
        theirs[0]
    except Exception:  # whatever it trips over
        return None
    return found


@pytest.mark.parametrize(("change", "why"), CASES)
def test_what_is_listed_is_what_lerobot_takes(
    dataset: Path, tmp_path: Path, change: Callable[[Path], None], why: str | None
) -> None:
    change(dataset)
    demos, layout = read_table(dataset)
    found = unlike_lerobot(layout)
    of_kept = np.isin(np.repeat(demos.episode_indices, demos.lengths), KEPT)
    same = taken_by_lerobot(dataset)
    assert (same is not None and same == pytest.approx(demos.action[of_kept, 0], abs=1e-3)) == (
        found is None
    )
    assert found is None if why is None else why in (found or "")
    told = json.loads(done("review", dataset, "--export", tmp_path / "kept.json", "--json").out)
    assert (told["lerobot_argument"] is None) == (why is not None)


def test_a_copy_of_what_lerobot_cannot_load_is_loaded(dataset: Path, tmp_path: Path) -> None:
    stores(as_large_lists, "action", "observation.state")(dataset)
    stores(as_ones, "episode_index", "frame_index", "timestamp", "next.success")(dataset)
    told = json.loads(done("export", dataset, "--out", tmp_path / "out", "--json").out)
    theirs = LeRobotDataset("local/x", root=Path(told["dataset"]), video_backend="pyav")
    found = np.array([float(action[0]) for action in theirs.hf_dataset["action"]])
    np.testing.assert_allclose(found, read_table(dataset)[0].action[:, 0])

"""A dataset of many episodes without the wait: the index of a small one, repeated."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq


def repeated(small: Path, root: Path, episodes: int) -> Path:
    """Copy a dataset whose index has one file, its episodes over and over on the same videos."""
    shutil.copytree(small, root)
    (index,) = root.glob("meta/episodes/*/*.parquet")
    (data,) = root.glob("data/*/*.parquet")
    few, rows = pq.read_table(index), pq.read_table(data)
    n = len(few)
    _write(index, _renumbered(few.take([i % n for i in range(episodes)]), list(range(episodes))))
    frames = [rows.filter(pa.compute.equal(rows["episode_index"], i)) for i in range(n)]
    copies = [frames[i % n] for i in range(episodes)]
    numbers = [i for i, copy in enumerate(copies) for _ in range(len(copy))]
    _write(data, _renumbered(pa.concat_tables(copies), numbers))
    info = json.loads((root / "meta" / "info.json").read_text())
    info |= {"total_episodes": episodes, "total_frames": len(numbers)}
    (root / "meta" / "info.json").write_text(json.dumps(info))
    return root


def _renumbered(table: pa.Table, numbers: list[int]) -> pa.Table:
    place = table.column_names.index("episode_index")
    return table.set_column(place, "episode_index", pa.array(numbers, pa.int64()))


def _write(path: Path, table: pa.Table) -> None:
    pq.write_table(table.replace_schema_metadata(None), path)

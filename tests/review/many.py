"""A dataset of many episodes without the wait: a small one, over and over."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq


def repeated(small: Path, root: Path, episodes: int) -> Path:
    """Copy a dataset of one file a kind, its episodes and its videos repeated.

    The videos are joined as LeRobot joins those of its episodes, by LeRobot, nothing encoded anew.
    """
    shutil.copytree(small, root)
    (index,) = root.glob("meta/episodes/*/*.parquet")
    (data,) = root.glob("data/*/*.parquet")
    few, rows = pq.read_table(index), pq.read_table(data)
    n = len(few)
    rounds = -(-episodes // n)
    for video in root.glob("videos/*/*/*.mp4"):
        _join(video, rounds)
    many = few.take([i % n for i in range(episodes)])
    for name in [name for name in many.column_names if name.endswith("_timestamp")]:
        if name.startswith("videos/"):
            seconds = max(few[name.replace("/from_", "/to_")].to_pylist())
            times = [t + seconds * (i // n) for i, t in enumerate(many[name].to_pylist())]
            many = _with(many, name, pa.array(times))
    _write(index, _with(many, "episode_index", pa.array(range(episodes))))
    frames = [rows.filter(pc.field("episode_index") == i) for i in range(n)]
    copies = [frames[i % n] for i in range(episodes)]
    numbers = [i for i, copy in enumerate(copies) for _ in range(len(copy))]
    _write(data, _with(pa.concat_tables(copies), "episode_index", pa.array(numbers)))
    info = json.loads((root / "meta" / "info.json").read_text())
    info |= {"total_episodes": episodes, "total_frames": len(numbers)}
    (root / "meta" / "info.json").write_text(json.dumps(info))
    return root


def _with(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, values)


def _write(path: Path, table: pa.Table) -> None:
    pq.write_table(table.replace_schema_metadata(None), path)


def _join(video: Path, rounds: int) -> None:
    """Put a video behind itself so many times."""
    from lerobot.datasets.video_utils import concatenate_video_files

    one = video.rename(video.with_name("one.mp4"))
    concatenate_video_files([one] * rounds, video)
    one.unlink()

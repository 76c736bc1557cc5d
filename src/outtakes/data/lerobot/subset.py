"""Some episodes of a dataset as a dataset of their own, of version v3.0, numbered from 0.

It is written from what reading found, so that it holds the very takes that were read, whatever the
source looks like: of v2.1, in two folders, with gaps in its numbers, with an index gone stale or
times that do not begin at 0. Video files are copied where all their episodes are kept, and cut
without loss (`outtakes.data.lerobot.cutting`) where not; what cannot be cut is encoded again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from outtakes.data.lerobot.kept_episodes import KeptEpisodes, read_kept
from outtakes.data.lerobot.layout import Layout
from outtakes.data.lerobot.path_template import numbered
from outtakes.data.lerobot.subset_meta import write_meta
from outtakes.data.lerobot.subset_videos import VideoFiles, write_videos
from outtakes.errors import DatasetError

if TYPE_CHECKING:
    import pyarrow as pa


def write_subset(whole: Layout, episodes: Sequence[int], root: Path) -> VideoFiles:
    """Write these episodes as a LeRobotDataset v3.0, numbered from 0 in their order.

    Args:
        whole: the whole dataset; its files are only read.
        episodes: episode indices to keep, ascending; they are sound.
        root: folder of the new dataset; must not exist.

    Raises:
        DatasetError: when an image is not in its file, or a video is damaged.
        MachineError: when LeRobot is missing.
        OSError: when the disk is full or not writable.
    """
    kept = read_kept(whole, episodes)
    files = _write_data(kept, root)
    places, videos = write_videos(kept, root)
    write_meta(kept, root, files, places)
    return videos


def _write_data(kept: KeptEpisodes, root: Path) -> list[int]:
    """Write `data/`; returns the number of each episode's file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = _schema(kept.features)
    sources = [next(iter(kept.rows.found(*kept.span(i))))[0] for i in range(len(kept))]
    files = []
    for number, (_, group) in enumerate(groupby(range(len(kept)), sources.__getitem__)):
        members = list(group)
        path = root / numbered("data", number, "parquet")
        path.parent.mkdir(parents=True, exist_ok=True)
        with pq.ParquetWriter(path, schema) as writer:
            for i in members:
                # A row group an episode, as LeRobot writes them.
                columns = [kept.column(i, field) for field in schema]
                writer.write_table(pa.Table.from_arrays(columns, schema=schema))
        files += [number] * len(members)
    return files


def _schema(features: Mapping[str, Mapping[str, Any]]) -> pa.Schema:
    """The schema of `data/` as LeRobot has it."""
    from outtakes.data.lerobot.write import table_schema

    try:
        return table_schema(features)
    except ValueError as error:
        raise DatasetError(
            f"LeRobot cannot store the dataset ({error})", remedy="correct meta/info.json"
        ) from error

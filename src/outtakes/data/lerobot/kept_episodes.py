"""Episodes of a dataset as LeRobot stores them: numbered from 0, under its names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from outtakes.data.lerobot import parquet
from outtakes.data.lerobot.layout import CAMERA_PREFIX, Layout, camera_name
from outtakes.data.lerobot.rows import Rows, read_rows
from outtakes.data.lerobot.tasks import row_tasks
from outtakes.data.outcomes import is_numeric

if TYPE_CHECKING:
    import pyarrow as pa

_INDICES = ("frame_index", "episode_index", "index", "task_index")


def read_kept(whole: Layout, episodes: Sequence[int]) -> KeptEpisodes:
    """Read everything but pictures of these episodes of a dataset.

    Raises:
        DatasetError: when a file is damaged.
    """
    dropped = set(whole.episode_indices.tolist()) - set(episodes)
    layout = whole.without(dict.fromkeys(dropped, "dropped")) if dropped else whole
    numeric = [name for name, feature in layout.features.items() if is_numeric(feature)]
    return KeptEpisodes(whole, *read_rows(layout, numeric, skip_bad=False))


class KeptEpisodes:
    """What is kept of a dataset, and what reading found of it.

    Args:
        whole: the dataset.
        layout: the same less what is not kept.
        rows: their rows.
    """

    def __init__(self, whole: Layout, layout: Layout, rows: Rows) -> None:
        self.whole, self.layout, self.rows = whole, layout, rows
        self.tasks = row_tasks(layout, rows)
        self.features = {new_name(n, f): _described(f) for n, f in layout.features.items()}
        for name in ("timestamp", *_INDICES):
            kind = "float32" if name == "timestamp" else "int64"
            self.features[name] = {"dtype": kind, "shape": [1], "names": None}
        self._table = lru_cache(2)(parquet.read_table)

    def __len__(self) -> int:
        return len(self.layout.lengths)

    def span(self, episode: int) -> tuple[int, int]:
        """First row and number of rows of a kept episode, by its place."""
        return int(self.layout.starts[episode]), int(self.layout.lengths[episode])

    def column(self, episode: int, field: pa.Field) -> pa.Array | pa.ChunkedArray:
        """A column of `data/` of one episode; stored images as they are."""
        import pyarrow as pa

        first, count = self.span(episode)
        frames = np.arange(count)
        own = {
            "frame_index": frames,
            "episode_index": np.full(count, episode),
            "index": first + frames,
            "task_index": self.tasks.indices[first : first + count],
            "timestamp": (frames / self.layout.fps).astype(np.float32),
        }
        if field.name in own:
            return pa.array(own[field.name], field.type)
        feature = next(n for n, f in self.layout.features.items() if new_name(n, f) == field.name)
        stored = self.layout.stored(feature)
        parts = []
        for file, rows in self.rows.found(first, count):
            path = self.layout.root / file
            column = self._table(path)[stored].take(pa.array(rows))
            if self.features[field.name]["dtype"] == "image":
                parquet.check_embedded(column, path, stored)
            parts.append(parquet.as_type(column, field.type))
        return pa.chunked_array([chunk for part in parts for chunk in part.chunks], field.type)

    def numbers(self, episode: int) -> dict[str, np.ndarray]:
        """Feature -> (T, ...) numbers of an episode."""
        first, count = self.span(episode)
        renamed = {n: new_name(n, self.layout.features[n]) for n in self.layout.features}
        found = {
            renamed[name]: values[first : first + count]
            for name, values in self.rows.columns.items()
            if name in renamed and name not in (*_INDICES, "timestamp")
        }
        frames = np.arange(count)
        return {
            **{n: v[:, 0] if v.shape[1] == 1 else v for n, v in found.items()},
            "timestamp": frames / self.layout.fps,
            "frame_index": frames,
            "episode_index": np.full(count, episode),
            "index": first + frames,
            "task_index": self.tasks.indices[first : first + count],
        }


def new_name(name: str, feature: Mapping[str, Any]) -> str:
    """The name under which LeRobot's policies look for a feature."""
    if feature.get("dtype") in ("video", "image") and not name.startswith("observation."):
        return f"{CAMERA_PREFIX}{camera_name(name)}"
    return name


def _described(feature: Mapping[str, Any]) -> dict[str, Any]:
    return {**feature, "shape": list(feature.get("shape") or [1])}

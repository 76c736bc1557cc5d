"""LeRobot's statistics of a dataset, by LeRobot's own functions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from outtakes.data.lerobot import parquet
from outtakes.data.lerobot.layout import Layout
from outtakes.errors import DatasetError

_Found = dict[str, dict[str, np.ndarray]]
"""Feature -> statistic -> values."""


class Statistics:
    """The statistics of a dataset in the making.

    Args:
        features: LeRobot feature name -> dtype, shape and more.
    """

    def __init__(self, features: Mapping[str, Mapping[str, Any]]) -> None:
        self._features = features
        self._episodes: list[_Found] = []

    def add(self, numbers: Mapping[str, np.ndarray], pictures: _Found) -> dict[str, Any]:
        """Take an episode in; returns its statistics as columns of `meta/episodes`.

        Args:
            numbers: feature -> (T, ...) values.
            pictures: statistics of its cameras, as far as they are known.
        """
        from outtakes.data.lerobot.write import episode_statistics

        found = {**episode_statistics(numbers, self._features), **pictures}
        self._episodes.append(found)
        return {
            f"stats/{feature}/{name}": np.asarray(values).tolist()
            for feature, statistics in found.items()
            for name, values in statistics.items()
        }

    def write(self, root: Path) -> None:
        """Write `meta/stats.json`."""
        from outtakes.data.lerobot.write import write_statistics

        write_statistics(self._episodes, root)


def stored_picture_statistics(layout: Layout) -> dict[int, _Found]:
    """Episode -> statistics of its cameras, as they are stored with the dataset.

    Statistics are no reason to refuse a dataset: what cannot be read is left out.
    """
    cameras = [n for n, f in layout.features.items() if f.get("dtype") in ("video", "image")]
    found: dict[int, _Found] = {}
    for part, offset in layout.part_offsets():
        root = layout.root / part / "meta"
        own = _of_lines(root, cameras) if layout.version == "v2.1" else _of_tables(root, cameras)
        found |= {episode + offset: statistics for episode, statistics in own.items()}
    return found


def _of_lines(meta: Path, cameras: list[str]) -> dict[int, _Found]:
    try:
        lines = (meta / "episodes_stats.jsonl").read_text("utf-8").splitlines()
        entries = [json.loads(line) for line in lines if line.strip()]
        return {
            int(entry["episode_index"]): {
                camera: {n: _shaped(n, v) for n, v in entry["stats"][camera].items()}
                for camera in cameras
                if camera in entry["stats"]
            }
            for entry in entries
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _of_tables(meta: Path, cameras: list[str]) -> dict[int, _Found]:
    found: dict[int, _Found] = {}
    for file in sorted((meta / "episodes").glob("*/*.parquet")):
        try:
            names = [
                name
                for name in parquet.column_names(file)
                if any(name.startswith(f"stats/{camera}/") for camera in cameras)
            ]
            table = parquet.read_table(file, ["episode_index", *names]).to_pylist()
        except DatasetError:
            continue
        for row in table:
            statistics: _Found = {}
            for name in names:
                feature, _, kind = name.removeprefix("stats/").rpartition("/")
                if row[name] is not None:
                    statistics.setdefault(feature, {})[kind] = _shaped(kind, row[name])
            episode = row["episode_index"]
            found[episode[0] if isinstance(episode, list) else episode] = statistics
    return found


def _shaped(name: str, values: Any) -> np.ndarray:
    """(1,) a count, (channels, 1, 1) all others."""
    array = np.array(values)
    return array.reshape(1) if name == "count" else array.astype(np.float64).reshape(-1, 1, 1)

"""The metadata of kept episodes: the index, tasks, statistics, and the description."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from outtakes.data.lerobot.feature_statistics import Statistics, stored_picture_statistics
from outtakes.data.lerobot.info import read_info
from outtakes.data.lerobot.kept_episodes import KeptEpisodes, new_name
from outtakes.data.lerobot.metadata import RECORDINGS, read_metadata, write_metadata
from outtakes.data.lerobot.path_template import FOLDER, TEMPLATE, numbered
from outtakes.data.lerobot.subset_videos import Place


def write_meta(
    kept: KeptEpisodes, root: Path, files: Sequence[int], places: Mapping[str, Sequence[Place]]
) -> None:
    """Write `meta/`.

    Args:
        kept: the episodes.
        root: folder of the new dataset.
        files: number of each episode's file in `data/`.
        places: camera -> where each episode is in `videos/`.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    statistics = Statistics(kept.features)
    pictures = stored_picture_statistics(kept.layout)
    entries = []
    for i in range(len(kept)):
        known = {
            new_name(n, kept.layout.features[n]): found
            for n, found in pictures.get(int(kept.layout.episode_indices[i]), {}).items()
        }
        computed = statistics.add(kept.numbers(i), known)
        entries.append(_entry(kept, i, files, places) | computed)
    path = root / numbered("meta/episodes", 0, "parquet")
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(entries), path)
    kept.tasks.write(root)
    statistics.write(root)
    (root / "meta" / "info.json").write_text(json.dumps(_info(kept), indent=4), encoding="utf-8")
    _write_recordings(kept, root)


def _entry(
    kept: KeptEpisodes, i: int, files: Sequence[int], places: Mapping[str, Sequence[Place]]
) -> dict[str, Any]:
    first, count = kept.span(i)
    entry = {
        "episode_index": i,
        "tasks": kept.tasks.of(first, count),
        "length": count,
        "data/chunk_index": files[i] // FOLDER,
        "data/file_index": files[i] % FOLDER,
        "dataset_from_index": first,
        "dataset_to_index": first + count,
        "meta/episodes/chunk_index": 0,
        "meta/episodes/file_index": 0,
    }
    for name, found in places.items():
        place = found[i]
        entry |= {
            f"videos/{name}/chunk_index": place.file // FOLDER,
            f"videos/{name}/file_index": place.file % FOLDER,
            f"videos/{name}/from_timestamp": place.start,
            f"videos/{name}/to_timestamp": place.start + count / kept.layout.fps,
        }
    return entry


def _info(kept: KeptEpisodes) -> dict[str, Any]:
    source, fps = read_info(kept.layout.root / kept.layout.parts[0]), kept.layout.fps
    return {
        "codebase_version": "v3.0",
        "robot_type": source.get("robot_type"),
        "total_episodes": len(kept),
        "total_frames": int(kept.layout.lengths.sum()),
        "total_tasks": len(kept.tasks.texts),
        "chunks_size": FOLDER,
        "data_files_size_in_mb": source.get("data_files_size_in_mb", 100),
        "video_files_size_in_mb": source.get("video_files_size_in_mb", 200),
        "fps": int(fps) if fps == int(fps) else fps,
        "splits": {"train": f"0:{len(kept)}"},
        "data_path": TEMPLATE.format(folder="data", suffix="parquet"),
        "video_path": TEMPLATE.format(folder="videos/{video_key}", suffix="mp4")
        if kept.layout.videos
        else None,
        "features": kept.features,
    }


def _write_recordings(kept: KeptEpisodes, root: Path) -> None:
    entries = {}
    for part, offset in kept.layout.part_offsets():
        found = read_metadata(kept.layout.root / part)
        entries |= {episode + offset: entry for episode, entry in found.items()}
    if entries:
        episodes = enumerate(kept.layout.episode_indices.tolist())
        metadata = [{**entries.get(old, {}), "episode_index": new} for new, old in episodes]
        write_metadata(root / RECORDINGS, metadata)

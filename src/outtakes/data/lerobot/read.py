"""Reading any LeRobotDataset v3.0 or v2.1, with images or videos, through the frame cache.

LeRobot itself is not asked, and the network only for a dataset that is named by its hub id.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from outtakes.data import frames
from outtakes.data.demo import DemoSet
from outtakes.data.hashing import content_hash
from outtakes.data.labels import label_files
from outtakes.data.lerobot.decode import Watch, fill_cache
from outtakes.data.lerobot.faults import CorruptEpisode
from outtakes.data.lerobot.hub import local_folder
from outtakes.data.lerobot.layout import Layout
from outtakes.data.lerobot.location import find_layout
from outtakes.data.lerobot.rows import read_rows
from outtakes.data.outcomes import Evidence, frame_columns
from outtakes.data.reading import Reading
from outtakes.errors import DatasetError


def read_dataset(
    path: Path | str,
    reading: Reading | None = None,
    *,
    cache_dir: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
    expected: str | None = None,
    watch: Watch | None = None,
) -> DemoSet:
    """Read a LeRobotDataset v3.0 or v2.1, decoding its frames at most once.

    Args:
        path: the dataset's folder, or `owner/name` on the hub.
        reading: what to read, and where the outcomes are; everything, from anywhere, when None.
        cache_dir: where frame caches live, instead of `frames.cache_root()`.
        progress: called with (frames decoded so far, frames to decode).
        expected: the content hash it had when it was read before; whatever it has now when None.
        watch: begins to watch frames as they are decoded, where they must be.

    Returns:
        The demonstrations, images memory-mapped from the frame cache.

    Raises:
        CorruptEpisode: when an episode cannot be read; unless `reading.skip_bad`.
        DatasetError: when the dataset is missing, damaged, unlabelled, or of another version or
            content.
        MachineError: when the cache cannot be written.
    """
    reading = reading or Reading()
    layout = find_layout(local_folder(path) if isinstance(path, str) else path, cache_dir)
    chosen = layout.choose_cameras(reading.cameras)
    content = _hash(layout, chosen, reading)
    if expected not in (None, content):
        raise DatasetError(
            "the dataset has changed since it was read",
            where=path,
            remedy="restore it as it was, or begin again with a new --out",
        )
    folder = (cache_dir or frames.cache_root()).absolute() / content
    demos = frames.load_whole(folder, content)
    if demos is None:
        with frames.new_cache(folder) as draft:
            fill_cache(draft, folder, layout, chosen, reading, progress, watch)
            if _hash(find_layout(layout.home, cache_dir), chosen, reading) != content:
                raise DatasetError(
                    "the dataset changed while it was read",
                    where=path,
                    remedy="wait until it is written, then read it again",
                )
        demos = frames.load_cache(folder)
    if not reading.skip_bad:
        _check_whole(demos, Path(path))
    return replace(demos, name=str(path), checked=True).cached_in(folder)


def _check_whole(demos: DemoSet, path: Path) -> None:
    """Refuse what an earlier read, which was allowed to, left episodes out of."""
    for episode, why in demos.provenance.skipped.items():
        raise CorruptEpisode(episode, why, file=path, remedy="repair it")


def _hash(layout: Layout, cameras: Sequence[str], reading: Reading) -> str:
    labels = {path.name: path for path in label_files(layout.home, reading.labels)}
    return content_hash({**layout.files(cameras), **labels}, reading.request(cameras))


def read_evidence(path: Path | str, reading: Reading) -> Evidence:
    """What a dataset says about how its episodes ended; decodes nothing.

    Raises:
        DatasetError: when the dataset is missing, damaged, or of another version.
    """
    layout = find_layout(Path(path))
    wanted = frame_columns(layout.features, reading.source)
    if not wanted:
        return layout.evidence({}, reading.labels)
    layout, rows = read_rows(layout, wanted, skip_bad=reading.skip_bad)
    return layout.evidence(rows.columns, reading.labels)

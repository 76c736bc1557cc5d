"""Reading any LeRobotDataset v3.0 or v2.1, with images or videos, through the frame cache.

What identifies a dataset is what is stored; a cache also depends on how it was read.

LeRobot itself is not asked, and the network only for a dataset that is named by its hub id.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from outtakes.data import frames
from outtakes.data.demo import DemoSet
from outtakes.data.hashing import content_hash, reading_hash
from outtakes.data.labels import label_files
from outtakes.data.lerobot.decode import Watch, fill_cache, read_numbers
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
        expected: name of the frame cache it had when it was read before; any when None.
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
    layout = find_layout(local_folder(path) if isinstance(path, str) else path)
    chosen = layout.choose_cameras(reading.cameras)
    content = content_hash(layout.files())
    labels = label_files(layout.home, reading.labels)
    key = reading_hash(content, reading.choices(chosen), labels)
    if expected not in (None, key):
        raise DatasetError(
            "the dataset has changed since it was read",
            where=path,
            remedy="restore it as it was, or begin again with a new --out",
        )
    folder = (cache_dir or frames.cache_root()).absolute() / key
    demos = frames.load_whole(folder, content)
    if demos is None:
        with frames.new_cache(folder) as draft:
            fill_cache(draft, folder, layout, chosen, reading, content, progress, watch)
            if content_hash(find_layout(layout.home).files()) != content:
                raise DatasetError(
                    "the dataset changed while it was read",
                    where=path,
                    remedy="wait until it is written, then read it again",
                )
        demos = frames.load_cache(folder)
    if not reading.skip_bad:
        _check_whole(demos, Path(path))
    demos = replace(demos, name=str(path), checked=True).cached_in(folder)
    return demos.as_one_task() if reading.one_task else demos


def _check_whole(demos: DemoSet, path: Path) -> None:
    """Refuse what an earlier read, which was allowed to, left episodes out of."""
    for episode, why in demos.provenance.skipped.items():
        raise CorruptEpisode(episode, why, file=path, remedy="repair it")


def read_table(
    path: Path | str, reading: Reading | None = None, *, check_videos: bool = False
) -> tuple[DemoSet, Layout]:
    """Read all but the pictures of a dataset: nothing is decoded.

    Args:
        path: the dataset's folder, or `owner/name` on the hub.
        reading: where the outcomes are, and what to do about corrupt episodes.
        check_videos: whether to look, without decoding, if the videos have every frame.

    Returns:
        The demonstrations without images, and the layout of those that are sound.

    Raises:
        CorruptEpisode: when an episode cannot be read; unless `reading.skip_bad`.
        DatasetError: when the dataset is missing, damaged, unlabelled, or of another version.
    """
    layout = find_layout(local_folder(path) if isinstance(path, str) else path)
    content = content_hash(layout.files())
    demos, layout = read_numbers(layout, reading or Reading(), content, check_videos=check_videos)
    return replace(demos, name=str(path), checked=True), layout


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

"""The reference of a dataset: as small as a path, and opened in any process as fast as numpy reads.

ref = keep(demos, reading)
ref.open().subset(episodes)         # wherever `ref` was sent
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from outtakes.data.frames import cache_root, load_whole, save_cache
from outtakes.data.hashing import hash_demos
from outtakes.errors import ArtifactError

if TYPE_CHECKING:
    from outtakes.data.demo import DemoSet
    from outtakes.data.reading import Reading


@dataclass(frozen=True)
class DatasetRef:
    """The reference of a dataset that was read, or made in memory and kept in the frame cache."""

    source: str
    """Its folder or hub id, as the user gave it."""
    reading: Reading | None
    """How it was read; None when it was made in memory, or that is not known."""
    content_hash: str
    """`DemoSet.content_hash` of what it opens."""
    cache: Path
    """Folder of its frame cache."""

    def open(
        self,
        cameras: Sequence[str] | None = None,
        *,
        progress: Callable[[int, int], None] | None = None,
    ) -> DemoSet:
        """The dataset, from its frame cache: nothing is decoded, no video is looked at.

        Where the cache is gone, the dataset is read again.

        Args:
            cameras: whose files to open; all when None.
            progress: called with (frames decoded so far, frames to decode) when it is read again.

        Raises:
            ArtifactError: when it was made in memory and its cache is gone.
            DatasetError: when it must be read again, and cannot be or has changed.
            UnknownName: when it lacks a camera.
        """
        demos = load_whole(self.cache, self.content_hash, cameras)
        if demos is None:
            demos = self._read_again(cameras, progress)
        demos = replace(demos, name=self.source, checked=True).cached_in(self.cache)
        return demos.as_one_task() if self.reading and self.reading.one_task else demos

    def _read_again(
        self, cameras: Sequence[str] | None, progress: Callable[[int, int], None] | None
    ) -> DemoSet:
        if self.reading is None:
            raise ArtifactError(
                f"the frame cache of demonstrations made in memory ({self.source}) is gone",
                where=self.cache,
                remedy="make or read them again",
            )
        from outtakes.data.lerobot.read import read_dataset

        demos = read_dataset(
            self.source,
            self.reading,
            cache_dir=self.cache.parent,
            progress=progress,
            expected=self.cache.name,
        )
        return demos if cameras is None else demos.seeing(cameras)


def keep(
    demos: DemoSet, reading: Reading | None = None, cache_dir: Path | None = None
) -> DatasetRef:
    """The reference of the dataset of which these are some or all demonstrations.

    Those that were made or changed in memory are put into the frame cache first, into a folder
    named after all that they hold, so that it is written once.

    Args:
        demos: the demonstrations.
        reading: how they were read, to read them again should the cache be gone.
        cache_dir: where frame caches live, instead of `frames.cache_root()`.

    Raises:
        MachineError: when the cache cannot be written.
    """
    if demos.cache is not None:
        return DatasetRef(demos.name, reading, demos.content_hash, demos.cache)
    folder = (cache_dir or cache_root()).absolute() / hash_demos(demos)
    if load_whole(folder, demos.content_hash) is None:
        save_cache(folder, demos)
    return DatasetRef(demos.name, None, demos.content_hash, folder)

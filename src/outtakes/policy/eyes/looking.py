"""What frozen eyes make of a dataset: computed once, kept beside its frame cache.

    <content hash>/          the frame cache
    <content hash>.eyes/     <camera>.<network>.<weights>.<layer>.<size>.npy: (R, h, w, C) float16

Reading them needs numpy alone: copy both folders to a bare GPU machine and train there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from outtakes.data.demo import DemoSet
from outtakes.data.feature_file import FeatureFile, open_features
from outtakes.data.frames import frame_file_name
from outtakes.policy.eyes.frozen import FrozenEyes
from outtakes.policy.eyes.network import FrozenNetwork
from outtakes.progress import Progress

AT_ONCE = 32
"""Pictures that go through the network together."""
_WAITING = 8
"""Batches that wait for the network while more are decoded, at most."""


def look(
    demos: DemoSet,
    eyes: FrozenEyes,
    *,
    device: torch.device | str = "cpu",
    progress: Progress | None = None,
) -> DemoSet:
    """The same demonstrations with what the eyes make of them, memory-mapped.

    It is computed where it is not in the cache yet; a call that was killed goes on where it was.
    Demonstrations that are in no frame cache are looked at in memory.

    Args:
        demos: the demonstrations, filmed by the eyes' cameras.
        eyes: frozen eyes.
        device: where to compute.
        progress: told how many pictures were looked at, when they must be.

    Raises:
        ConfigError: when the pictures or the settings cannot work.
        MachineError: when the network is not installed, or the cache cannot be written.
    """
    if demos.cache is None:
        network = FrozenNetwork(eyes).to(device)
        found = {camera: _in_memory(network, demos.images[camera]) for camera in eyes.cameras}
    else:
        folder, rows = features_folder(demos.cache), len(demos.action)
        found = {c: open_features(folder / _file_name(c, eyes), rows) for c in eyes.cameras}
        if missing := [camera for camera in eyes.cameras if found[camera] is None]:
            _embed(demos, eyes, missing, folder, device, progress)
            found |= {c: open_features(folder / _file_name(c, eyes), rows) for c in missing}
    return replace(demos, features=found, checked=True).cached_in(demos.cache)


def features_folder(cache: Path) -> Path:
    """Where features of the dataset in this frame cache are kept."""
    return cache.with_name(f"{cache.name}.eyes")


def _file_name(camera: str, eyes: FrozenEyes) -> str:
    return frame_file_name(f"{camera}.{eyes.key}")


def _in_memory(network: FrozenNetwork, frames: np.ndarray) -> np.ndarray:
    starts = range(0, len(frames), AT_ONCE)
    return np.concatenate([network.look(frames[i : i + AT_ONCE]) for i in starts])


def _embed(
    demos: DemoSet,
    eyes: FrozenEyes,
    cameras: Sequence[str],
    folder: Path,
    device: torch.device | str,
    progress: Progress | None,
) -> None:
    """Fill the files of these cameras from the frame cache."""
    network, total = FrozenNetwork(eyes).to(device), len(cameras) * len(demos.action)
    done = 0
    for camera in cameras:
        file = FeatureFile(folder / _file_name(camera, eyes), len(demos.action))
        left = np.flatnonzero(~file.done)
        done += int(file.done.sum())
        for rows in np.array_split(left, -(-len(left) // AT_ONCE)) if len(left) else ():
            file.write(rows, network.look(demos.images[camera][rows]))
            done += len(rows)
            if progress:
                progress(done, total, "look: pictures through frozen eyes")
        file.finish()


class Onlooker:
    """Looks at frames of a dataset while they are decoded, in a thread of its own.

    Args:
        eyes: frozen eyes.
        folder: where the features are kept.
        rows: R, frames of each camera.
        device: where to compute.
    """

    def __init__(
        self, eyes: FrozenEyes, folder: Path, rows: int, device: torch.device | str
    ) -> None:
        self._eyes, self._device = eyes, device
        self._files = {c: FeatureFile(folder / _file_name(c, eyes), rows) for c in eyes.cameras}
        self._seen: dict[str, list[tuple[int, np.ndarray]]] = {c: [] for c in eyes.cameras}
        self._pool = ThreadPoolExecutor(1)
        self._waiting: deque[Future[None]] = deque()

    @cached_property
    def _network(self) -> FrozenNetwork:
        return FrozenNetwork(self._eyes).to(self._device)

    def see(self, camera: str, row: int, frame: np.ndarray) -> None:
        """Look at one frame, soon; waits while many wait."""
        if camera not in self._files or self._files[camera].done[row]:
            return
        self._seen[camera].append((row, frame))
        if len(self._seen[camera]) == AT_ONCE:
            self._submit(camera)

    def _submit(self, camera: str) -> None:
        seen, self._seen[camera] = self._seen[camera], []
        self._waiting.append(self._pool.submit(self._write, camera, seen))
        while len(self._waiting) > _WAITING or (self._waiting and self._waiting[0].done()):
            self._waiting.popleft().result()

    def _write(self, camera: str, seen: Sequence[tuple[int, np.ndarray]]) -> None:
        rows = np.array([row for row, _ in seen])
        pictures = np.stack([frame for _, frame in seen])
        self._files[camera].write(rows, self._network.look(pictures))

    def finish(self) -> None:
        """Look at what is left, and give the files their names."""
        for camera, seen in self._seen.items():
            if seen:
                self._submit(camera)
        for future in self._waiting:
            future.result()
        for file in self._files.values():
            file.finish()

    def discard(self) -> None:
        """Forget what was seen: the frames turned out to be of other rows."""
        for file in self._files.values():
            file.discard()

    def close(self) -> None:
        """Stop looking."""
        self._pool.shutdown(cancel_futures=True)


@contextmanager
def looking_on(
    eyes: FrozenEyes, cache: Path, rows: int, device: torch.device | str = "cpu", *, again: bool
) -> Iterator[Callable[[str, int, np.ndarray], None]]:
    """What is shown every frame of a dataset while its frame cache is made.

    Args:
        eyes: frozen eyes.
        cache: folder of the frame cache to come.
        rows: R, frames of each camera.
        device: where to compute.
        again: whether an earlier decoding turned out to have other rows.
    """
    onlooker = Onlooker(eyes, features_folder(cache), rows, device)
    if again:
        onlooker.discard()
        onlooker = Onlooker(eyes, features_folder(cache), rows, device)
    try:
        yield onlooker.see
        onlooker.finish()
    finally:
        onlooker.close()

"""Single frames of cameras that a dataset stores as pictures."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from outtakes.data.lerobot.layout import Layout
from outtakes.data.lerobot.rows import Rows, stored_pictures

_EPISODES_KEPT = 8
_SIGNATURES = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg"}


class Pictures:
    """Reads an episode's pictures when one of them is asked for, and keeps the last few."""

    def __init__(self, layout: Layout, rows: Rows) -> None:
        self._layout, self._rows = layout, rows
        self._starts = layout.starts
        self._read = lru_cache(_EPISODES_KEPT * max(1, len(layout.cameras)))(self._read_episode)

    def frame(self, camera: int, episode: int, frame: int) -> bytes:
        """One encoded picture.

        Args:
            camera: place among the dataset's cameras.
            episode: episode index.
            frame: from 0.

        Raises:
            LookupError: when there is no such camera, episode or frame.
            DatasetError: when the file is damaged.
        """
        feature = list(self._layout.cameras.values())[camera]
        if feature in self._layout.videos:
            raise LookupError(f"{feature} is a video")
        return self._read(feature, episode)[frame]

    def _read_episode(self, feature: str, episode: int) -> list[bytes]:
        found = np.flatnonzero(self._layout.episode_indices == episode)
        if not len(found):
            raise LookupError(f"no episode {episode}")
        first, length = self._starts[found[0]], self._layout.lengths[found[0]]
        return stored_pictures(self._layout, self._rows, feature, int(first), int(length))


def media_type(content: bytes) -> str:
    """What kind of picture these bytes are, by how they begin."""
    known = (kind for start, kind in _SIGNATURES.items() if content.startswith(start))
    return next(known, "application/octet-stream")

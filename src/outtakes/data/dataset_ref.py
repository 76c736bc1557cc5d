"""Stand-in."""

from __future__ import annotations

from dataclasses import dataclass, replace

from outtakes.data import frames


@dataclass(frozen=True)
class DatasetRef:
    source: str
    content_hash: str

    def open(self):
        return replace(frames.load_cache(frames.cache_root() / self.content_hash), name=self.source)

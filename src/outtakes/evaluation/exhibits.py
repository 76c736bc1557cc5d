"""What evaluation leaves for people to look at: rollout videos and the retrieval map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from outtakes.errors import ArtifactError
from outtakes.files import read_json, write_json

_VERSION = 1


@dataclass(frozen=True)
class FilmedRollout:
    """A rollout that was filmed."""

    initial_state: int
    arm: str
    seed: int
    success: bool
    video: str
    """Path relative to the experiment's folder."""


def save_films(path: Path, films: Sequence[FilmedRollout]) -> None:
    """Write `films.json`."""
    write_json(path, "films", _VERSION, {"films": [vars(film) for film in films]})


def load_films(path: Path) -> list[FilmedRollout]:
    """Read `films.json`; empty when nothing was filmed."""
    if not path.exists():
        return []
    return [FilmedRollout(**film) for film in _entries(path, "films", "films")]


@dataclass(frozen=True)
class RetrievalPlane:
    """First observations on their first two principal components (paper, Figure 4)."""

    arm: str
    seed: int
    label: str
    """What was embedded, for the axes."""
    bank: Sequence[tuple[int, float, float]]
    """(episode, x, y) of every success."""
    queries: Sequence[tuple[int, float, float, int, bool]]
    """(initial state, x, y, retrieved episode, success) of every rollout."""

    def save(self, path: Path) -> None:
        """Write `retrieval.json`."""
        write_json(path, "retrieval", _VERSION, {"plane": vars(self)})

    @staticmethod
    def load(path: Path) -> RetrievalPlane | None:
        """Read `retrieval.json`; None when nothing was retrieved."""
        if not path.exists():
            return None
        plane = _entries(path, "retrieval", "plane")
        plane["bank"] = [tuple(point) for point in plane["bank"]]
        plane["queries"] = [tuple(query) for query in plane["queries"]]
        return RetrievalPlane(**plane)


def _entries(path: Path, kind: str, key: str) -> Any:
    content = read_json(path, kind, _VERSION)
    if key not in content:
        raise ArtifactError(f"the file lacks {key!r}", where=path, remedy="evaluate again")
    return content[key]


def common_plane(bank: np.ndarray, queries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Project (S, K) and (Q, K) onto the first two principal components of the first."""
    centre = bank.mean(axis=0)
    _, _, axes = np.linalg.svd(bank - centre, full_matrices=False)
    axes = np.vstack([axes, np.zeros((2, bank.shape[1]))])[:2]
    return (bank - centre) @ axes.T, (queries - centre) @ axes.T

"""What every format offers to the import."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from outtakes.importers.verdict import Verdict


@dataclass(frozen=True)
class Facts:
    """What holds for all demonstrations of a source."""

    format: str
    """Name of the source's format."""
    fps: int
    robot_type: str
    task: str
    """The instruction in words."""
    names: Mapping[str, Sequence[str]]
    """Feature -> a name for each of its dimensions."""
    origins: Mapping[str, Sequence[str]]
    """Feature -> what in the source it is made of."""


@dataclass(frozen=True)
class Glance:
    """What can be told of a demonstration without reading its frames."""

    shapes: Mapping[str, tuple[int, ...]]
    """Feature -> shape of one frame."""
    verdict: Verdict


class Source(Protocol):
    """Demonstrations in some format. Every method raises a `DatasetError` for what is damaged."""

    demos: Sequence[str]
    """Names of the demonstrations, in order."""
    files: Sequence[Path]
    """What the source consists of."""

    def facts(self, demo: str) -> Facts:
        """What holds for all, told from a sound demonstration."""
        ...

    def glance(self, demo: str) -> Glance:
        """Look at a demonstration and decide how it ended."""
        ...

    def read(self, demo: str) -> dict[str, np.ndarray]:
        """Feature -> (T, ...) array, all but `next.success`."""
        ...

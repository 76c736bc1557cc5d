"""Who demonstrates a simulated task: what collection must know of a scripted operator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np


class MistakeMade(Protocol):
    """What an operator set out to get wrong; it can be pickled."""

    @property
    def kind(self) -> str:
        """For example "off_centre"."""
        ...

    @property
    def size(self) -> float:
        """How wrong, in `unit`; 0 is no mistake at all."""
        ...

    @property
    def unit(self) -> str:
        """Unit of the size, for example "m"."""
        ...

    @property
    def share(self) -> float:
        """Size as a share of the largest of its kind, in [0, 1]."""
        ...


class Demonstrator(Protocol):
    """Gives actions for one episode, until `finished`; closes the loop on the observation alone and
    never learns whether the episode counted as a success."""

    @property
    def mistake(self) -> MistakeMade | None:
        """What it will still get wrong; it may be forgotten on a second try."""
        ...

    @property
    def finished(self) -> bool:
        """Whether it has let go of the controls."""
        ...

    def act(self, observation: Mapping[str, np.ndarray]) -> np.ndarray:
        """Next action, (A,) float32 in [-1, 1], from what `Environment.observe` gives."""
        ...

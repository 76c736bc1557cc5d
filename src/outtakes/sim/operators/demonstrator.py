"""Who demonstrates a simulated task: what collection must know of a scripted operator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np

from outtakes.sim.operators.mistake import Mistake


class Demonstrator(Protocol):
    """Gives actions for one episode, until `finished`; closes the loop on the observation alone and
    never learns whether the episode counted as a success."""

    @property
    def mistake(self) -> Mistake | None:
        """What it will still get wrong; it may be forgotten on a second try."""
        ...

    @property
    def finished(self) -> bool:
        """Whether it has let go of the controls."""
        ...

    def act(self, observation: Mapping[str, np.ndarray]) -> np.ndarray:
        """Next action, (A,) float32 in [-1, 1], from what `Environment.observe` gives."""
        ...

"""What a signal is: a number at every query of the policy that tells how the episode goes.

A signal is one file beside this one, and one row here; or another package's, under the entry point
group `outtakes.signals`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np

from outtakes import extensions
from outtakes.policy.decision import Decision

GROUP = "outtakes.signals"
"""Entry point group that other packages add to: name -> a `Signal` class."""
_BUILT_IN = {"revision": "outtakes.monitoring.revision:Revision"}


class Signal(ABC):
    """A number at every query of the policy."""

    name: ClassVar[str]
    """Its column in `signals.parquet`."""

    @abstractmethod
    def at(self, decision: Decision) -> np.ndarray:
        """(n,) float64 value in each episode; NaN where it cannot be told."""


def signals() -> list[str]:
    """The names of all signals."""
    return extensions.names(GROUP, _BUILT_IN)


def signal(name: str) -> Signal:
    """The signal of this name.

    Raises:
        UnknownName: when there is none.
    """
    return extensions.load("signal", name, GROUP, _BUILT_IN)()

"""A query of the policy while it acts: what whoever watches it is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from outtakes.policy.policy import Steering


@dataclass(frozen=True)
class Decision:
    """One query of the policy, in n episodes at once."""

    step: int
    """Control step of the episodes, from 0."""
    episodes: np.ndarray
    """(n,) int64 number of each episode: of a rollout its initial state."""
    running: np.ndarray
    """(n,) bool: False where an episode is over, and its observation that of its last query."""
    observation: Mapping[str, np.ndarray]
    """LeRobot feature name -> (n, ...) what was observed, in the dataset's units."""
    chunk: np.ndarray
    """(n, L, A) actions predicted, in the dataset's units; step s is meant for `step` + s."""
    steering: Steering
    """(n, ...) what the policy follows in each episode."""
    previous: Decision | None
    """The query before; None at the first. It has no previous itself."""

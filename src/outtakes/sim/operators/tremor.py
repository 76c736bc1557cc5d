"""The unsteadiness of a hand."""

from __future__ import annotations

import numpy as np

from outtakes.sim.operators.personality import Personality

ARM_AXES = (1.0, 1.0, 1.0, 0.3, 0.3, 0.3)
"""Shares of the tremor in translation (3) and, weaker, in rotation (3)."""
HAND_AXES = (1.0, 1.0, 1.0)
"""The same of a hand that only translates."""


class Tremor:
    """First-order autoregressive noise.

    Args:
        personality: how strong it is, and how correlated from one step to the next.
        shares: (n,) of its strength, one for each axis.
        rng: where it comes from.
    """

    def __init__(
        self, personality: Personality, shares: tuple[float, ...], rng: np.random.Generator
    ) -> None:
        self._memory, self._rng = personality.tremor_memory, rng
        self._fresh = personality.tremor * np.array(shares) * np.sqrt(1 - self._memory**2)
        self._noise = np.zeros(len(shares))

    def step(self) -> np.ndarray:
        """Noise of the next control step, (n,) in units of the action."""
        self._noise = self._memory * self._noise + self._rng.normal(0.0, self._fresh)
        return self._noise

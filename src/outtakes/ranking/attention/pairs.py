"""Which (time step, success) pairs of a failure are compared, and what they say about K (Eq. 5).

All of them, or a two-stage random sample: some time steps, and at each of them some successes of
its own. The estimate and its standard error are those of Cochran, Sampling Techniques (1977),
chapter 10, with units of equal size.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from outtakes.errors import ConfigError

_SUCCESSES_A_STEP = 8
"""Successes drawn at a time step while there are time steps left to draw. A time step costs an
encoder pass whatever is compared at it; this many comparisons pay for that."""
FEWEST = 4
"""Two time steps with two successes each: below that no spread can be seen."""


@dataclass(frozen=True)
class Pairs:
    """The comparisons to make for one failure."""

    times: np.ndarray
    """(n,) int64 time steps, ascending, out of `steps`."""
    successes: np.ndarray
    """(1, S) int64 when every success is compared at every time step, else (n, m), a draw for
    each."""
    steps: int
    """T."""
    n_successes: int
    """S."""

    @staticmethod
    def every(steps: int, n_successes: int) -> Pairs:
        """All of them: Eq. 5 as it stands."""
        return Pairs(np.arange(steps), np.arange(n_successes)[None], steps, n_successes)

    @staticmethod
    def draw(count: int, steps: int, n_successes: int, rng: np.random.Generator) -> Pairs:
        """At least `count` pairs at random without replacement; all of them when there are fewer.

        Args:
            count: pairs wanted.
            steps: T of the failure.
            n_successes: S.
            rng: source of the draw.
        """
        check_count(count)
        n = min(steps, max(2, -(-count // _SUCCESSES_A_STEP)))
        m = min(n_successes, max(2, -(-count // n)))
        if m == n_successes:
            n = min(steps, max(2, -(-count // m)))
        times = np.sort(rng.choice(steps, n, replace=False))
        if m == n_successes:
            return Pairs(times, np.arange(m)[None], steps, n_successes)
        drawn = [rng.choice(n_successes, m, replace=False) for _ in times]
        return Pairs(times, np.sort(drawn, axis=1), steps, n_successes)

    def total(self, divergences: np.ndarray) -> float:
        """K in nats from the (n, m) divergences of these pairs: exact, or unbiased."""
        return float(divergences.mean() * self.n_successes)

    def standard_error(self, divergences: np.ndarray) -> float:
        """Standard error of `total` in nats, over other draws; 0 when nothing was left out."""
        n, m = divergences.shape
        steps_drawn, successes_drawn = n / self.steps, m / self.n_successes
        variance = 0.0
        if steps_drawn < 1:
            variance += (1 - steps_drawn) * divergences.mean(axis=1).var(ddof=1) / n
        if successes_drawn < 1:
            within = divergences.var(axis=1, ddof=1).mean()
            variance += steps_drawn * (1 - successes_drawn) * within / (n * m)
        return float(self.n_successes * np.sqrt(variance))

    def over_time(self, divergences: np.ndarray) -> np.ndarray:
        """(T,) mean over the successes compared at each time step; NaN where none was."""
        found = np.full(self.steps, np.nan)
        found[self.times] = divergences.mean(axis=1)
        return found

    def by_success(self, divergences: np.ndarray) -> np.ndarray:
        """(S,) float32 mean over the time steps each success was compared at; NaN where at none."""
        columns = np.broadcast_to(self.successes, divergences.shape).ravel()
        total = np.bincount(columns, divergences.ravel(), self.n_successes)
        with np.errstate(invalid="ignore"):
            return (total / np.bincount(columns, minlength=self.n_successes)).astype(np.float32)


def check_count(pairs: int) -> None:
    """Refuse a sample too small to have a standard error.

    Raises:
        ConfigError: when it is.
    """
    if pairs < FEWEST:
        raise ConfigError(f"{pairs} pairs for each failure", remedy=f"ask for {FEWEST} or more")

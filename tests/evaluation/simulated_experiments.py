"""Experiments whose true success rates are known, to see how often intervals hold them.

Run `python -m tests.evaluation.simulated_experiments` for the coverage table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy.optimize import root_scalar

from outtakes.evaluation.statistics import Difference, success_difference

_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(61)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()


@dataclass(frozen=True)
class Setting:
    """Logit P(success) = μ_arm + state_j + (arm, seed)_i + (arm, state)_j + (arm, seed, state)_ij.

    All but μ_arm are normal; μ_arm is set so that the true rates are exactly those asked for.
    """

    n_seeds: int
    baseline: float
    arm: float
    seed_sd: float
    """Standard deviation over seeds of an arm's success rate, in [0, 1]."""
    n_states: int = 100
    state_sd: float = 2.0
    """Logits; at 2, a tenth of the states is lost nearly always and another won nearly always."""
    arm_state_sd: float = 0.5
    """Logits: an arm has states of its own that it finds hard."""
    cell_sd: float = 1.0
    """Logits: so has every trained policy."""

    @property
    def difference(self) -> float:
        return self.arm - self.baseline

    def experiments(
        self, count: int, rng: np.random.Generator
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Outcomes of arm and baseline, each (n_seeds, n_states) bool."""
        models = [self._logits(rate) for rate in (self.arm, self.baseline)]
        for _ in range(count):
            states = self.state_sd * rng.standard_normal(self.n_states)
            arm, baseline = (self._outcomes(states, *model, rng) for model in models)
            yield arm, baseline

    def _outcomes(
        self, states: np.ndarray, mu: float, seed_logits: float, rng: np.random.Generator
    ) -> np.ndarray:
        shape = (self.n_seeds, self.n_states)
        logits = mu + states + self.arm_state_sd * rng.standard_normal(self.n_states)
        logits = logits + seed_logits * rng.standard_normal((self.n_seeds, 1))
        logits = logits + self.cell_sd * rng.standard_normal(shape)
        return rng.random(shape) < _sigmoid(logits)

    def _logits(self, rate: float) -> tuple[float, float]:
        """μ and the seeds' standard deviation, in logits, that give this rate and `seed_sd`."""
        others = np.sqrt(self.state_sd**2 + self.arm_state_sd**2 + self.cell_sd**2)

        def excess(seed_logits: float) -> float:
            total = float(np.hypot(others, seed_logits))
            p = _sigmoid(_centre(rate, total) + total * _NODES)
            return seed_logits * float(_WEIGHTS @ (p * (1 - p))) - self.seed_sd

        seed_logits = _root(excess, 0.0, 5.0)
        return _centre(rate, float(np.hypot(others, seed_logits))), seed_logits


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logits))


def _centre(rate: float, total: float) -> float:
    """μ with E[sigmoid(μ + total · N(0, 1))] = rate."""
    return _root(lambda mu: float(_WEIGHTS @ _sigmoid(mu + total * _NODES)) - rate, -20, 20)


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    return float(root_scalar(function, bracket=(low, high)).root)


def differences(setting: Setting, count: int, resamples: int, seed: int = 0) -> list[Difference]:
    rng = np.random.default_rng(seed)
    return [
        success_difference(arm, baseline, rng=rng, resamples=resamples)
        for arm, baseline in setting.experiments(count, rng)
    ]


def coverage(found: list[Difference], truth: float) -> float:
    return float(np.mean([d.low <= truth <= d.high for d in found]))


def main(count: int = 3000, resamples: int = 999) -> None:
    """Print the coverage table: one row a setting, all in percent or percentage points."""
    print("| seeds | seed sd | rates | coverage | rejects 0 | mean width |")
    print("|---|---|---|---|---|---|")
    rates = [(0.5, 0.5), (0.7, 0.7), (0.9, 0.9), (0.6, 0.68), (0.82, 0.9)]
    for n_seeds, seed_sd, (baseline, arm) in product((5, 10), (0.02, 0.04, 0.06), rates):
        setting = Setting(n_seeds, baseline, arm, seed_sd)
        found = differences(setting, count, resamples)
        print(
            f"| {n_seeds} | {100 * seed_sd:.0f} | {100 * baseline:.0f} → {100 * arm:.0f} "
            f"| {100 * coverage(found, setting.difference):.1f} "
            f"| {100 * np.mean([d.excludes_zero for d in found]):.1f} "
            f"| {100 * np.mean([d.high - d.low for d in found]):.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()

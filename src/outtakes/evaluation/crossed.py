"""The mean of a crossed design: every training seed meets the same initial states.

The outcome of seed i at initial state j is modelled as μ + seed_i + state_j + cell_ij, all three
random: another study would have drawn other seeds and other states. Two outcomes of one seed, or
of one state, are therefore not independent, and pooling them would make the mean look far more
certain than it is.

References:
    Searle, Casella & McCulloch 1992, Variance Components, ch. 4 (estimates from mean squares).
    Satterthwaite 1946, Biometrics Bulletin 2 (degrees of freedom of a sum of mean squares).
    Owen 2007, Annals of Applied Statistics 1 (the bootstrap of crossed random effects).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from outtakes.shapes import Float


@dataclass(frozen=True)
class CrossedMean:
    """A mean over seeds and initial states, and how far it can be trusted."""

    mean: float
    variance: float
    """Of the mean, in squared units: estimates σ²_seed/I + σ²_state/J + σ²_cell/(IJ)."""
    degrees_of_freedom: float
    """Satterthwaite's, at least I − 1, one less than the number of seeds."""

    @property
    def standard_error(self) -> float:
        """Square root of the variance, in units of the values."""
        return float(np.sqrt(self.variance))


def crossed_mean(values: Float[np.ndarray, "seeds states"]) -> CrossedMean:
    """Estimate the mean and its variance from the mean squares of the two-way layout.

        Var(mean) = (MS_seed + max(MS_state − MS_cell, 0)) / (IJ)

    MS_seed is taken as at least a tenth of MS_cell: rates of a few seeds may tie by chance, and
    that must not make the mean look certain (seeds without any effect fall below that bound in
    2 % of experiments with 5 seeds). With a single seed, only the states are random and the
    variance is the usual s²/J.
    """
    n_seeds, n_states = values.shape
    if n_seeds == 1:
        return CrossedMean(float(values.mean()), values.var(ddof=1) / n_states, n_states - 1)
    between_seeds, between_states, cell = _mean_squares(values)
    between_seeds = max(between_seeds, cell / 10)
    terms = [(between_seeds, n_seeds - 1)]
    if between_states > cell:
        terms += [(between_states, n_states - 1), (-cell, (n_seeds - 1) * (n_states - 1))]
    total = sum(term for term, _ in terms)
    spread = sum(term**2 / freedom for term, freedom in terms)
    return CrossedMean(
        mean=float(values.mean()),
        variance=total / values.size,
        degrees_of_freedom=max(total**2 / spread if spread > 0 else 0.0, n_seeds - 1.0),
    )


def _mean_squares(values: np.ndarray) -> tuple[float, float, float]:
    """Mean squares of the two-way layout: between seeds, between states, and what is left."""
    n_seeds, n_states = values.shape
    centred = values - values.mean()
    of_seed = centred.mean(axis=1, keepdims=True)
    of_state = centred.mean(axis=0, keepdims=True)
    cell = centred - of_seed - of_state
    return (
        float(n_states * (of_seed**2).sum() / (n_seeds - 1)),
        float(n_seeds * (of_state**2).sum() / (n_states - 1)),
        float((cell**2).sum() / ((n_seeds - 1) * (n_states - 1))),
    )


def resampled_means(
    values: Float[np.ndarray, "seeds states"], resamples: int, rng: np.random.Generator
) -> Float[np.ndarray, "resamples"]:
    """Means after drawing seeds, and apart from them states, with replacement.

    Owen's "pigeonhole" bootstrap. A drawn state keeps its outcomes under every drawn seed.
    """
    n_seeds, n_states = values.shape
    seed_counts = _draw_counts(n_seeds, resamples, rng)
    state_counts = _draw_counts(n_states, resamples, rng)
    return np.einsum("rj,rj->r", seed_counts @ values, state_counts) / values.size


def _draw_counts(n: int, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """(resamples, n) float64: how often each of n things is drawn in n draws."""
    drawn = rng.integers(n, size=(resamples, n)) + n * np.arange(resamples)[:, None]
    counts = np.bincount(drawn.ravel(), minlength=resamples * n)
    return counts.reshape(resamples, n).astype(np.float64)

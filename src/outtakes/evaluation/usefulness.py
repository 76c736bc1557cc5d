"""How useful each failure is to the policy, from retraining on random subsets of the failures.

The rate that a policy reaches when it is trained on the successes and a random subset S of the
failures is modelled as linear in who is in S (a datamodel: Ilyas et al. 2022, arXiv 2202.00622):

    rate(S) = μ + Σ_f β_f · ([f ∈ S] − k/F) + noise,      Σ_f β_f = 0

β_f is what it is worth to have failure f among the k instead of an average other one. That all
subsets are of one size leaves the sum of β open; it is set to 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from outtakes.errors import ArtifactError, ConfigError
from outtakes.evaluation.statistics import spearman
from outtakes.shapes import Bool, Float


@dataclass(frozen=True)
class Usefulness:
    """What each failure is worth, and how well that is known."""

    episodes: tuple[int, ...]
    """Episode index of each failure."""
    effects: Float[np.ndarray, "F"]
    """β: change of the success rate, as a share of 1."""
    standard_errors: Float[np.ndarray, "F"]
    """Of the effects."""
    reliability: float
    """Share of the effects' variance that is not noise, 0 to 1: 1 − mean(se²) / var(β)."""
    subsets: int
    """Subsets it was estimated from."""


@dataclass(frozen=True)
class Agreement:
    """Correlation of a score with usefulness, over failures."""

    correlation: float
    """Spearman's, as observed: noise in the usefulness makes it smaller. NaN when all failures are
    equal in one of the two."""
    corrected: float
    """Divided by √reliability: what it would be if the usefulness were known exactly (Spearman
    1904); NaN where nothing about the usefulness is reliable."""
    low: float
    high: float
    """Of the 95 % interval of `corrected` (see `spearman`), the reliability taken as known."""


def balanced_subsets(
    items: Sequence[int], size: int, count: int, rng: np.random.Generator
) -> list[tuple[int, ...]]:
    """Random subsets in which every item is about equally often.

    Shuffles are cut into disjoint subsets, so within a shuffle no item is taken twice.

    Raises:
        ConfigError: when there are fewer items than a subset takes.
    """
    if not 0 < size <= len(items) or count < 1:
        raise ConfigError(
            f"{count} subsets of {size} of {len(items)} failures",
            remedy=f"ask for at least 1 subset, of 1 to {len(items)}",
        )
    subsets: list[tuple[int, ...]] = []
    while len(subsets) < count:
        shuffled = [int(item) for item in rng.permutation(items)]
        cuts = range(0, len(shuffled) - size + 1, size)
        subsets += [tuple(sorted(shuffled[i : i + size])) for i in cuts]
    return subsets[:count]


def usefulness(
    episodes: Sequence[int],
    chosen: Bool[np.ndarray, "subsets F"],
    rates: Float[np.ndarray, "subsets"],
) -> Usefulness:
    """Estimate the effects by least squares.

    Args:
        episodes: episode index of each failure.
        chosen: which failures each policy was trained on, equally many of them each time.
        rates: the success rate of each policy, 0 to 1.

    Raises:
        ArtifactError: when there are too few subsets for so many failures.
    """
    n, f = chosen.shape
    if n < f + 2:
        raise ArtifactError(
            f"{n} subsets cannot tell {f} failures apart", remedy=f"retrain on at least {f + 2}"
        )
    centred = chosen - chosen.mean(axis=0)
    gram = np.linalg.pinv(centred.T @ centred, rcond=1e-9, hermitian=True)
    effects = gram @ centred.T @ (rates - rates.mean())
    residual = rates - rates.mean() - centred @ effects
    freedom = n - 1 - np.linalg.matrix_rank(centred)
    errors = np.sqrt(residual @ residual / freedom * np.diag(gram))
    noise = float((errors**2).mean() / effects.var(ddof=1)) if effects.any() else 1.0
    reliability = float(np.clip(1 - noise, 0, 1))
    return Usefulness(tuple(episodes), effects, errors, reliability, n)


def agreement(found: Usefulness, scores: Float[np.ndarray, "F"]) -> Agreement:
    """Correlate a score of each failure with its usefulness."""
    observed = spearman(scores.tolist(), found.effects.tolist())
    if observed is None:
        return Agreement(np.nan, np.nan, np.nan, np.nan)
    if not found.reliability:
        return Agreement(observed.rho, np.nan, np.nan, np.nan)
    scale = np.sqrt(found.reliability)
    return Agreement(
        observed.rho, observed.rho / scale, observed.low / scale, observed.high / scale
    )

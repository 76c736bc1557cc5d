"""How sure the numbers are: rates, paired differences, tests and rank correlations.

**Differences between arms.** `mean_difference` resamples training seeds and initial states, the
same draw in both arms (a paired hierarchical bootstrap). Taken as it comes, that bootstrap is
wrong here: it counts the noise of single rollouts three times (Owen 2007), which widens the
interval, and knows nothing beyond the 5 to 10 seeds it has, which narrows it. So it is
calibrated: the resampled means give the shape of the distribution, the variance components of
the crossed design its width (`outtakes.evaluation.crossed`), and Student's t with
Satterthwaite's degrees of freedom the allowance for few seeds. p and interval come from one
distribution: p < 1 − level exactly when the interval leaves 0 out.

Measured at nominal 95 % on simulated experiments with 100 initial states, of which some are hard
for every policy (success rates 0.5 to 0.9, true difference 0 or 8 points, 3000 experiments a
setting, so ± 0.8; `python -m tests.evaluation.simulated_experiments` prints all 30 settings):

    seeds  seed sd (points)  interval holds the truth  null called significant  mean width (points)
    5      2                 95.3 to 96.4 %            3.6 to 4.7 %             14.6
    5      4                 95.3 to 95.7 %            4.3 to 4.7 %             18.6
    5      6                 95.0 to 95.6 %            4.4 to 5.0 %             23.8
    10     2                 94.6 to 95.6 %            4.4 to 5.1 %             9.2
    10     4                 94.5 to 95.1 %            4.9 to 5.4 %             11.4
    10     6                 94.4 to 95.5 %            4.5 to 5.6 %             14.4

(The width is at a rate of 0.7.) On the same kind of experiments the uncalibrated percentile
bootstrap held the truth in 92 to 100 % and the bootstrap-t, which takes its quantiles from
resamples of 5 seeds, in 90 to 97 %. With 2 seeds the interval is honest but useless (about 90
points wide).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from outtakes.errors import ArtifactError
from outtakes.evaluation.crossed import CrossedMean, crossed_mean, resampled_means
from outtakes.evaluation.score_intervals import tango, wilson
from outtakes.shapes import Bool, Float

_BOOTSTRAP = (
    "paired hierarchical bootstrap over seeds and initial states, crossed standard error, "
    "t with Satterthwaite's degrees of freedom"
)
_ITEMS_ONLY = "paired bootstrap over items, t; one seed, so nothing is said about other seeds"
_ONE_SEED = (
    "exact McNemar p and Tango's score interval over initial states; one seed, so nothing is "
    "said about other seeds"
)
_SAME_EVERYWHERE = (
    "exact McNemar p and Tango's score interval over initial states; every seed and state shows "
    "the same difference, so the seeds count as one"
)


@dataclass(frozen=True)
class SuccessRate:
    """Success rate of one arm, over training seeds and initial states."""

    rate: float
    """In [0, 1]: the mean over all rollouts."""
    low: float
    high: float
    """Interval of the rate for other seeds and other initial states; see `success_rate`."""
    per_seed: tuple[float, ...]
    """Rate of each seed, in [0, 1], in the order given."""
    sd: float | None
    """Standard deviation of the per-seed rates (ddof = 1); None with one seed."""
    n_seeds: int
    n_rollouts: int
    """Over all seeds."""


@dataclass(frozen=True)
class Difference:
    """Mean of an arm minus mean of the baseline, paired by seed and initial state."""

    difference: float
    """In units of the values; for success rates in [−1, 1]."""
    low: float
    high: float
    """Ends of the interval, in the same units."""
    p: float
    """Two-sided, of no difference; below 1 − level exactly when the interval leaves 0 out."""
    n_seeds: int
    n_rollouts: int
    """Values of each arm: seeds × initial states."""
    method: str
    """How interval and p were made."""

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval lies wholly on one side of 0."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class RankCorrelation:
    """Spearman's ρ of n pairs."""

    rho: float
    """In [−1, 1]."""
    low: float
    high: float
    """95 % interval by Fisher's z; see `spearman`."""
    p: float
    """Two-sided, of no association (t approximation, as in `scipy.stats.spearmanr`)."""
    n: int


def wilson_interval(successes: int, trials: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a proportion, for the independent rollouts of one seed.

    (Wilson 1927, JASA 22.)

    Raises:
        ArtifactError: without trials, or with more successes than trials.
    """
    if not 0 <= successes <= trials or trials == 0:
        raise ArtifactError(
            f"{successes} successes in {trials} rollouts have no rate",
            remedy="count at least one rollout, and each of them once",
        )
    return wilson(successes / trials, trials, _normal_quantile(level))


def success_rate(success: Bool[np.ndarray, "seeds states"], *, level: float = 0.95) -> SuccessRate:
    """Success rate of one arm with an interval over seeds and initial states.

    Wilson's interval with the effective number of rollouts n = p(1−p) / Var(p), where Var(p) is
    the variance in the crossed design, and a t quantile: it stays inside [0, 1] and keeps its
    coverage close to 1 (Franco et al. 2019, J. Survey Statistics and Methodology 7). Where all
    rollouts end alike nothing tells how alike the seeds are, and n is the number of initial
    states. With one seed it is Wilson's interval as it stands.

    Raises:
        ArtifactError: on fewer than two initial states.
    """
    values = _checked(success)
    n_seeds, n_states = values.shape
    per_seed = tuple(float(rate) for rate in values.mean(axis=1))
    rate = float(values.mean())
    low, high = _clustered_wilson(crossed_mean(values), n_seeds, n_states, level)
    return SuccessRate(
        rate=rate,
        low=low,
        high=high,
        per_seed=per_seed,
        sd=float(np.std(per_seed, ddof=1)) if n_seeds > 1 else None,
        n_seeds=n_seeds,
        n_rollouts=values.size,
    )


def _clustered_wilson(
    estimate: CrossedMean, n_seeds: int, n_states: int, level: float
) -> tuple[float, float]:
    from scipy.stats import t

    rate = estimate.mean
    if n_seeds == 1 or estimate.variance == 0:
        return wilson(rate, n_states, _normal_quantile(level))
    effective = min(rate * (1 - rate) / estimate.variance, n_seeds * n_states)
    quantile = float(t.isf((1 - level) / 2, estimate.degrees_of_freedom))
    return wilson(rate, effective, quantile)


def _normal_quantile(level: float) -> float:
    """z with a probability of `level` between −z and z."""
    from scipy.stats import norm

    return float(norm.isf((1 - level) / 2))


def mean_difference(
    arm: Float[np.ndarray, "seeds items"],
    baseline: Float[np.ndarray, "seeds items"],
    *,
    rng: np.random.Generator,
    resamples: int = 9999,
    level: float = 0.95,
) -> Difference:
    """Mean of `arm` minus mean of `baseline`, from the calibrated paired hierarchical bootstrap.

    With d the paired differences, se and ν the standard error and degrees of freedom of their
    mean in the crossed design, and z* = |mean* − mean| / sd(mean*) over the resamples, the
    interval is mean(d) ± se · t_ν⁻¹(Φ(z*_level)), and p the share of z* at or beyond the z that
    has the tail probability of mean(d) / se under t_ν. Two equal arms give [0, 0] and p = 1.

    Args:
        arm: a value of each seed (or fold) and item (initial state, held-out episode).
        baseline: the same seeds and items, in the same order.
        rng: draws the resamples; equal generators give equal draws, whatever the arms.
        resamples: p cannot fall below 1 / (resamples + 1).
        level: of the interval.

    Raises:
        ArtifactError: on unequal shapes, fewer than two items or values that are not finite.
    """
    differences = _paired(arm, baseline)
    n_seeds = len(differences)
    estimate = crossed_mean(differences)
    margin, p = _calibrated(estimate, resampled_means(differences, resamples, rng), level)
    return Difference(
        difference=estimate.mean,
        low=estimate.mean - margin,
        high=estimate.mean + margin,
        p=p,
        n_seeds=n_seeds,
        n_rollouts=differences.size,
        method=_BOOTSTRAP if n_seeds > 1 else _ITEMS_ONLY,
    )


def _calibrated(estimate: CrossedMean, resampled: np.ndarray, level: float) -> tuple[float, float]:
    """Half-width of the interval, and two-sided p."""
    from scipy.stats import norm, t

    count = len(resampled) + 1
    if estimate.variance == 0:
        return 0.0, 1.0 if estimate.mean == 0 else 1 / count
    se, freedom = estimate.standard_error, estimate.degrees_of_freedom
    z = np.sort(np.abs(resampled - estimate.mean)) / resampled.std()
    # This order statistic, not its neighbour, makes p < 1 − level and "0 outside" one event.
    z_level = z[min(int(level * count), len(z) - 1)]
    margin = se * t.isf(norm.sf(z_level), freedom)
    z_observed = norm.isf(t.sf(abs(estimate.mean) / se, freedom))
    p = (1 + np.count_nonzero(z >= z_observed)) / count
    return float(margin), float(p)


def success_difference(
    arm: Bool[np.ndarray, "seeds states"],
    baseline: Bool[np.ndarray, "seeds states"],
    *,
    rng: np.random.Generator,
    resamples: int = 9999,
    level: float = 0.95,
) -> Difference:
    """Success rate of `arm` minus that of `baseline`: `mean_difference`, kept inside [−1, 1].

    With one seed, or where every seed and state shows the same difference, the two arms are
    compared as single runs over the initial states: `mcnemar_exact` and Tango's score interval
    (1998, Statistics in Medicine 17), stretched to 0 where the exact test does not reject.

    Raises:
        ArtifactError: on unequal shapes or fewer than two initial states.
    """
    differences = _paired(arm, baseline)
    same_everywhere = bool((differences == differences[0, 0]).all())
    if len(differences) == 1 or same_everywhere:
        method = _ONE_SEED if len(differences) == 1 else _SAME_EVERYWHERE
        return _single_run_difference(arm, baseline, level, method)
    found = mean_difference(arm, baseline, rng=rng, resamples=resamples, level=level)
    return Difference(
        difference=found.difference,
        low=max(found.low, -1.0),
        high=min(found.high, 1.0),
        p=found.p,
        n_seeds=found.n_seeds,
        n_rollouts=found.n_rollouts,
        method=found.method,
    )


def _single_run_difference(
    arm: np.ndarray, baseline: np.ndarray, level: float, method: str
) -> Difference:
    gained = int(np.count_nonzero(arm[0] & ~baseline[0]))
    lost = int(np.count_nonzero(baseline[0] & ~arm[0]))
    p = mcnemar_exact(arm[0], baseline[0])
    low, high = tango(gained, lost, arm.shape[1], _normal_quantile(level))
    if p >= 1 - level:
        low, high = min(low, 0.0), max(high, 0.0)
    difference = (gained - lost) / arm.shape[1]
    return Difference(difference, low, high, p, len(arm), arm.size, method)


def mcnemar_exact(a: Bool[np.ndarray, "states"], b: Bool[np.ndarray, "states"]) -> float:
    """Two-sided exact p that two single runs succeed equally often on the same initial states.

    Only the states where they disagree tell; under no difference each side wins half of them
    (binomial). 1 where they never disagree.
    """
    from scipy.stats import binomtest

    discordant = int(np.count_nonzero(a != b))
    if discordant == 0:
        return 1.0
    return float(binomtest(int(np.count_nonzero(a & ~b)), discordant).pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Step-down adjusted p-values (Holm 1979, Scand. J. Statistics 6), in the order given.

    The k-th smallest of m is multiplied by m − k + 1, kept at least as large as the one before
    it and at most 1. Rejecting where the result is below α keeps the chance of any false
    rejection at α, however the tests depend on one another.
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p)
    steps = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(steps, 1.0)
    return adjusted.tolist()


def spearman(x: Sequence[float], y: Sequence[float]) -> RankCorrelation | None:
    """Spearman's ρ; None where it is undefined: under four pairs, or all x (or y) equal.

    The interval is tanh(artanh ρ ± 1.96 √((1 + ρ²/2) / (n − 3))) (Bonett & Wright 2000,
    Psychometrika 65). It and p are different approximations: near p = 0.05 with few pairs they
    may disagree.

    Raises:
        ArtifactError: when x and y differ in length.
    """
    from scipy.stats import spearmanr

    if len(x) != len(y):
        raise ArtifactError(
            f"{len(x)} and {len(y)} values do not pair", remedy="give one of each for every item"
        )
    if len(x) < 4 or len(set(x)) == 1 or len(set(y)) == 1:
        return None
    rho, p = map(float, spearmanr(x, y))
    # artanh(±1) is infinite; this is as near as float64 needs.
    centre = np.arctanh(np.clip(rho, -1 + 1e-12, 1 - 1e-12))
    margin = _normal_quantile(0.95) * np.sqrt((1 + rho**2 / 2) / (len(x) - 3))
    low, high = float(np.tanh(centre - margin)), float(np.tanh(centre + margin))
    return RankCorrelation(rho, low, high, p, len(x))


def _checked(values: np.ndarray) -> np.ndarray:
    """The values as float64, (seeds, states)."""
    if values.ndim != 2 or values.shape[0] < 1 or values.shape[1] < 2:
        raise ArtifactError(
            f"outcomes have shape {values.shape}, expected (seeds, at least 2 initial states)",
            remedy="evaluate every seed from two initial states or more",
        )
    if not np.isfinite(values).all():
        raise ArtifactError("an outcome is not finite", remedy="evaluate again")
    return values.astype(np.float64)


def _paired(arm: np.ndarray, baseline: np.ndarray) -> np.ndarray:
    if arm.shape != baseline.shape:
        raise ArtifactError(
            f"outcomes of the arm {arm.shape} and of the baseline {baseline.shape} do not pair",
            remedy="give both arms the same seeds and initial states",
        )
    return _checked(arm) - _checked(baseline)

"""Score intervals of proportions: formulas alone, the quantile is the caller's.

References:
    Wilson 1927, JASA 22. Tango 1998, Statistics in Medicine 17.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def wilson(rate: float, trials: float, quantile: float) -> tuple[float, float]:
    """Interval of one proportion seen in a number of trials, which may be an effective one.

    Centre (p + z²/2n) / (1 + z²/n), half-width z √(p(1 − p)/n + z²/4n²) / (1 + z²/n).
    """
    shrink = quantile**2 / trials
    centre = (rate + shrink / 2) / (1 + shrink)
    spread = np.sqrt((rate * (1 - rate) + shrink / 4) / trials)
    half_width = quantile * spread / (1 + shrink)
    # Rounding must push neither the rate out of its interval nor an end out of [0, 1].
    low, high = float(centre - half_width), float(centre + half_width)
    return max(min(rate, low), 0.0), min(max(rate, high), 1.0)


def tango(gained: int, lost: int, pairs: int, quantile: float) -> tuple[float, float]:
    """Interval of the difference (gained − lost) / pairs of two paired proportions.

    All Δ with |gained − lost − nΔ| ≤ z √(n (2q + Δ(1 − Δ))), where q is the likeliest
    probability of a loss given Δ.
    """

    def fits(delta: float) -> bool:
        return _tango_fits(delta, gained, lost, pairs, quantile)

    inside = (gained - lost) / pairs
    return _boundary(fits, inside, -1.0), _boundary(fits, inside, 1.0)


def _tango_fits(delta: float, gained: int, lost: int, pairs: int, quantile: float) -> bool:
    slope = (2 * pairs - gained + lost) * delta - gained - lost
    root = np.sqrt(slope**2 + 8 * pairs * lost * delta * (1 - delta))
    q = (root - slope) / (4 * pairs)
    variance = max(pairs * (2 * q + delta * (1 - delta)), 0.0)
    return bool(abs(gained - lost - pairs * delta) <= quantile * np.sqrt(variance))


def _boundary(fits: Callable[[float], bool], inside: float, outside: float) -> float:
    """Where `fits` ends on the way from inside to outside, by bisection to machine precision."""
    if inside == outside or fits(outside):
        return outside
    for _ in range(60):
        middle = (inside + outside) / 2
        inside, outside = (middle, outside) if fits(middle) else (inside, middle)
    return inside

"""How often intervals over replicates hold the truth: Student's t, and two that estimate variances.

    python -m benchmarks.replicates

Differences of replicates of known spread between collections and within them; prints how often
each 95 % interval holds the true difference, over 20,000 studies a row.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import t

WITHIN, FREEDOM, STUDIES = 4.0, 6, 20_000
"""Standard error of a replicate's own difference in points, its degrees of freedom, studies."""


def coverage(replicates: int, between: float, rng: np.random.Generator) -> dict[str, float]:
    """Interval -> share of studies in which it holds a true difference of 0."""
    shape = (STUDIES, replicates)
    found = rng.normal(0, between, shape) + rng.normal(0, WITHIN, shape)
    own = (WITHIN**2 * rng.chisquare(FREEDOM, shape) / FREEDOM).mean(axis=1)
    spread, mean = found.var(axis=1, ddof=1), found.mean(axis=1)
    last = replicates - 1
    shrunk = (last * spread + 4 * own) / (last + 4)
    larger = np.where(spread > own, last, replicates * FREEDOM)
    intervals = {
        "t": (spread, np.full(STUDIES, last)),
        "larger variance": (np.maximum(spread, own), larger),
        "shrunk variance": (np.maximum(shrunk, own), np.full(STUDIES, last + 4)),
    }
    return {
        name: float((abs(mean) < t.ppf(0.975, freedom) * np.sqrt(variance / replicates)).mean())
        for name, (variance, freedom) in intervals.items()
    }


def main() -> None:
    """Print the table."""
    rng = np.random.default_rng(0)
    for replicates in (3, 4, 12):
        for between in (0.0, 2.0, 4.0, 6.0):
            held = coverage(replicates, between, rng)
            print(replicates, between, {name: f"{share:.1%}" for name, share in held.items()})


if __name__ == "__main__":
    main()

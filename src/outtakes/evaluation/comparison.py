"""Comparison: the success rate of every arm, and what each arm changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from outtakes.errors import ArtifactError, ConfigError, UnknownName
from outtakes.evaluation.statistics import (
    Difference,
    SuccessRate,
    holm,
    success_difference,
    success_rate,
)
from outtakes.files import Location, load_json, write_json

_KIND, _VERSION = "comparison", 1


@dataclass(frozen=True)
class Comparison:
    """Every arm against one baseline.

    Raises:
        ArtifactError: when a difference lacks its arm, or an arm its difference.
    """

    baseline: str
    """Arm the others are compared with."""
    treatment: str
    """The arm whose effect was in question before anything was rolled out."""
    rates: Mapping[str, SuccessRate]
    """Arm -> success rate over all of its own seeds; baseline included."""
    differences: Mapping[str, Difference]
    """Arm -> its rate minus the baseline's over the seeds that both have; without baseline."""
    adjusted_p: Mapping[str, float]
    """Arm -> p of its difference, adjusted for the number of arms compared (Holm)."""

    def __post_init__(self) -> None:
        compared = set(self.rates) - {self.baseline}
        complete = compared == set(self.differences) == set(self.adjusted_p)
        if not complete or self.baseline not in self.rates or self.treatment not in compared:
            raise ArtifactError(
                f"rates of {sorted(self.rates)} do not go with differences of "
                f"{sorted(self.differences)} against {self.baseline!r}",
                remedy="compare the rollouts again",
            )

    @property
    def conclusive(self) -> bool:
        """Whether the treatment's interval leaves 0 out; never so with a single seed.

        The seed alone moves a success rate by several points, so one run an arm cannot tell two
        ways of training apart.
        """
        difference = self.differences[self.treatment]
        return difference.excludes_zero and difference.n_seeds > 1

    def verdict(self, labels: Mapping[str, str] | None = None) -> str:
        """What the treatment changed, in a sentence: points, 95 % interval, p and n.

        p is the treatment's own, unadjusted, because the treatment was chosen beforehand; with
        several arms the adjusted p follows.

        Args:
            labels: arm -> its name for people; its own where there is none.
        """
        treatment, baseline = (
            (labels or {}).get(arm, arm) for arm in (self.treatment, self.baseline)
        )
        d = self.differences[self.treatment]
        seeds = "1 seed" if d.n_seeds == 1 else f"{d.n_seeds} seeds"
        opening = "" if self.conclusive else "Inconclusive: "
        return (
            f"{opening}{treatment} changed the success rate by {_points(d.difference)} "
            f"points against {baseline} (95 % interval {_points(d.low)} to "
            f"{_points(d.high)}, {_p(d.p)}{self._adjusted()}, {seeds} × "
            f"{d.n_rollouts // d.n_seeds} rollouts)."
        )

    def _adjusted(self) -> str:
        if len(self.differences) == 1:
            return ""
        adjusted = _p(self.adjusted_p[self.treatment])
        return f", {adjusted} adjusted for {len(self.differences)} arms"

    def save(self, path: Location) -> None:
        """Write `comparison.json`."""
        content = {
            "baseline": self.baseline,
            "treatment": self.treatment,
            "conclusive": self.conclusive,
            "rates": {arm: asdict(rate) for arm, rate in self.rates.items()},
            "differences": {arm: asdict(d) for arm, d in self.differences.items()},
            "adjusted_p": dict(self.adjusted_p),
        }
        write_json(path, _KIND, _VERSION, content)

    @staticmethod
    def load(path: Location) -> Comparison:
        """Read `comparison.json`.

        Raises:
            ArtifactError: when it is missing, damaged or of another version.
        """
        return load_json(path, _KIND, _VERSION, _parse, remedy="compare the rollouts again")


def _parse(content: Mapping[str, Any]) -> Comparison:
    rates = {
        arm: SuccessRate(**{**rate, "per_seed": tuple(rate["per_seed"])})
        for arm, rate in content["rates"].items()
    }
    return Comparison(
        baseline=content["baseline"],
        treatment=content["treatment"],
        rates=rates,
        differences={arm: Difference(**d) for arm, d in content["differences"].items()},
        adjusted_p={arm: float(p) for arm, p in content["adjusted_p"].items()},
    )


def _points(rate: float) -> str:
    """A difference in rates as signed percentage points."""
    return f"{100 * rate:+.1f}".replace("-", "−")


def _p(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def compare(
    outcomes: Mapping[str, Mapping[int, np.ndarray]],
    *,
    baseline: str,
    treatment: str,
    seed: int = 0,
) -> Comparison:
    """Compare every arm with the baseline.

    Args:
        outcomes: arm -> training seed -> (n_states,) bool success; state j is the same initial
            state everywhere. An arm is paired with the baseline over the seeds that both have.
        baseline: arm to compare with.
        treatment: arm the verdict is about, chosen before the rollouts.
        seed: of the resampling.

    Raises:
        UnknownName: when the baseline or the treatment is not an arm.
        ConfigError: when they are the same arm.
        ArtifactError: when an arm shares no seed with the baseline, or initial states differ.
    """
    _check_arms(outcomes, baseline, treatment)
    others = [arm for arm in outcomes if arm != baseline]
    rates = {arm: success_rate(_stacked(arm, seeds)) for arm, seeds in outcomes.items()}
    differences = {
        arm: _difference(outcomes, arm, baseline, np.random.default_rng(seed)) for arm in others
    }
    adjusted = holm([differences[arm].p for arm in others])
    return Comparison(
        baseline, treatment, rates, differences, dict(zip(others, adjusted, strict=True))
    )


def _check_arms(outcomes: Mapping[str, object], baseline: str, treatment: str) -> None:
    for arm in (baseline, treatment):
        if arm not in outcomes:
            raise UnknownName("arm", arm, outcomes)
    if treatment == baseline:
        raise ConfigError(
            f"{treatment!r} is compared with itself", remedy="choose another treatment"
        )


def _difference(
    outcomes: Mapping[str, Mapping[int, np.ndarray]],
    arm: str,
    baseline: str,
    rng: np.random.Generator,
) -> Difference:
    shared = sorted(outcomes[arm].keys() & outcomes[baseline].keys())
    if not shared:
        raise ArtifactError(
            f"{arm!r} and {baseline!r} share no training seed",
            remedy="train both with the same seeds",
        )
    return success_difference(
        _stacked(arm, {s: outcomes[arm][s] for s in shared}),
        _stacked(baseline, {s: outcomes[baseline][s] for s in shared}),
        rng=rng,
    )


def _stacked(arm: str, by_seed: Mapping[int, np.ndarray]) -> np.ndarray:
    """(n_seeds, n_states) bool, seeds ascending."""
    counts = {len(success) for success in by_seed.values()}
    if len(counts) != 1:
        raise ArtifactError(
            f"the seeds of {arm!r} were rolled out from {sorted(counts)} initial states",
            remedy="evaluate every seed from the same initial states",
        )
    return np.array([by_seed[seed] for seed in sorted(by_seed)], dtype=bool)

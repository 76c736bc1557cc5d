"""Action error on held-out successes: what stands in for rollouts where there is no simulator.

A policy can imitate held-out successes better and still succeed less often.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from outtakes.evaluation.statistics import Difference, holm, mean_difference
from outtakes.files import load_json, write_json

BASELINE = "successes"
_KIND, _VERSION = "action-error", 1


@dataclass(frozen=True)
class ActionErrors:
    """Action error of every arm on held-out successes: the proxy for rollouts."""

    errors: Mapping[str, np.ndarray]
    """Arm -> (seeds, successes) mean absolute error of the predicted chunk, in standard
    deviations of the successes' actions."""
    means: Mapping[str, Difference]
    """Arm -> its mean error with its interval (the difference from zero)."""
    differences: Mapping[str, Difference]
    """Arm -> its error minus that of successes only, paired by seed and held-out success."""
    adjusted_p: Mapping[str, float]
    """Arm -> p of its difference, adjusted for the number of arms (Holm)."""
    policy: str = "act-pb"
    """Kind of policy that they were measured with, as `outtakes train --policy` names it."""

    @staticmethod
    def of(errors: Mapping[str, np.ndarray], policy: str = "act-pb") -> ActionErrors:
        """Compare every arm's errors with those of successes only."""
        others = [arm for arm in errors if arm != BASELINE]
        differences = {arm: _difference(errors[arm], errors[BASELINE]) for arm in others}
        means = {arm: _difference(e, np.zeros_like(e)) for arm, e in errors.items()}
        adjusted = holm([differences[arm].p for arm in others])
        by_arm = dict(zip(others, adjusted, strict=True))
        return ActionErrors(errors, means, differences, by_arm, policy)

    def save(self, path: Path) -> None:
        """Write `action_error.json`."""
        content = {
            "baseline": BASELINE,
            "policy": self.policy,
            "errors": {arm: values.tolist() for arm, values in self.errors.items()},
        }
        write_json(path, _KIND, _VERSION, content)

    @staticmethod
    def load(path: Path) -> ActionErrors:
        """Read `action_error.json`.

        Raises:
            ArtifactError: when it is missing, damaged or of another version.
        """
        return load_json(path, _KIND, _VERSION, _parse, remedy="triage again")


def _parse(content: Mapping[str, Any]) -> ActionErrors:
    errors = {arm: np.array(e, np.float64) for arm, e in content["errors"].items()}
    return ActionErrors.of(errors, content.get("policy", "act-pb"))


def _difference(values: np.ndarray, baseline: np.ndarray) -> Difference:
    return mean_difference(values, baseline, rng=np.random.default_rng(0))

"""Action error on held-out successes: what stands in for rollouts where there is no simulator.

A policy can imitate held-out successes better and still succeed less often.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from outtakes.data.demo import DemoSet, Outcome
from outtakes.errors import DatasetError
from outtakes.evaluation.statistics import Difference, holm, mean_difference
from outtakes.files import load_json, write_json

BASELINE = "successes"
FOLDS = 3
"""Parts the successes are cut into; each is held out once."""
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


def folds(demos: DemoSet) -> list[list[int]]:
    """Successes in parts of about one size, shuffled.

    Where there are several tasks each is spread over the parts, and the only success of a task is
    never held out: nothing would be left to learn the task from.

    Raises:
        DatasetError: when there are too few.
    """
    remedy = f"record at least {FOLDS} successes"
    order = np.random.default_rng(0).permutation(demos.episodes(Outcome.SUCCESS)).tolist()
    if len(set(demos.tasks)) > 1:
        remedy += ", and two of a task; or take all episodes for one task with --one-task"
        task = demos.task_of()
        many = Counter(task[episode] for episode in order)
        order = sorted((e for e in order if many[task[e]] > 1), key=lambda e: task[e])
    if len(order) < FOLDS:
        raise DatasetError(
            f"{len(order)} successes are too few to hold some out",
            where=demos.name,
            remedy=remedy,
        )
    return [sorted(order[i::FOLDS]) for i in range(FOLDS)]


def _parse(content: Mapping[str, Any]) -> ActionErrors:
    errors = {arm: np.array(e, np.float64) for arm, e in content["errors"].items()}
    return ActionErrors.of(errors, content.get("policy", "act-pb"))


def _difference(values: np.ndarray, baseline: np.ndarray) -> Difference:
    return mean_difference(values, baseline, rng=np.random.default_rng(0))

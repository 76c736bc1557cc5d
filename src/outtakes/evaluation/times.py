"""Time to success, beside success: of two policies that succeed alike, the faster one is better."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from outtakes.evaluation.rollouts import RolloutLog
from outtakes.evaluation.statistics import Difference, mean_difference


@dataclass(frozen=True)
class TimeToSuccess:
    """How long one arm takes, in control steps."""

    median: float | None
    """Of the rollouts that succeeded; None when none did."""
    restricted: float
    """Mean over all rollouts, those that failed counted with every step they were given: unlike
    `median` it does not look better for failing where success takes long."""
    difference: Difference | None
    """Of `restricted` from the baseline's, over the seeds and initial states that both have;
    None for the baseline, or when there are none."""


def times_to_success(log: RolloutLog, baseline: str) -> Mapping[str, TimeToSuccess]:
    """Arm -> its time to success; the differences are from this arm."""
    steps: dict[str, dict[tuple[int, int], int]] = {}
    succeeded: dict[str, list[int]] = {}
    for r in log.rollouts:
        steps.setdefault(r.treatment, {})[r.seed, r.initial_state] = r.steps
        succeeded.setdefault(r.treatment, []).extend([r.steps] * r.success)
    return {
        arm: TimeToSuccess(
            median=float(np.median(succeeded[arm])) if succeeded[arm] else None,
            restricted=float(np.mean(list(own.values()))),
            difference=None if arm == baseline else _difference(own, steps[baseline]),
        )
        for arm, own in steps.items()
    }


def _difference(
    arm: Mapping[tuple[int, int], int], baseline: Mapping[tuple[int, int], int]
) -> Difference | None:
    seeds = sorted({seed for seed, _ in arm} & {seed for seed, _ in baseline})
    states = sorted({state for _, state in arm} & {state for _, state in baseline})
    if not seeds or len(states) < 2:
        return None
    tables = (np.array([[own[s, i] for i in states] for s in seeds]) for own in (arm, baseline))
    return mean_difference(*tables, rng=np.random.default_rng(0))

"""What failures are worth, in demonstrations: success by the number of successes, with and without.

The number that a person can use who decides what to record next: how many more successful
demonstrations would have brought as much as the failures did, which cost nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from outtakes.errors import ConfigError
from outtakes.evaluation.replicates import Replicates
from outtakes.experiments.cell import Cell
from outtakes.experiments.pipeline import jobs_of
from outtakes.experiments.study_log import run_recorded

WORTH = "worth.json"


@dataclass(frozen=True)
class WorthPlan:
    """Numbers of successes, and how long to train at each.

    Raises:
        ConfigError: when a number lacks its training lengths.
    """

    numbers: tuple[int, ...] = (5, 10, 20, 30, 50, 100)
    """Ascending."""
    steps_without: tuple[int, ...] | None = None
    """Training length on each number of successes alone, as tuned; the recipe's when None."""
    steps_with: tuple[int, ...] | None = None
    """Training length with the failures beside them."""

    def __post_init__(self) -> None:
        lengths = (self.steps_without, self.steps_with)
        if any(steps is not None and len(steps) != len(self.numbers) for steps in lengths):
            raise ConfigError(
                f"training lengths for other than {len(self.numbers)} numbers of successes",
                remedy="give one for each",
            )
        if not self.numbers or list(self.numbers) != sorted(set(self.numbers)):
            raise ConfigError(
                f"numbers of successes {list(self.numbers)}", remedy="give them ascending"
            )


def without(number: int) -> str:
    """Name of the arm on so many successes alone."""
    return f"{number} successes"


def with_failures(number: int) -> str:
    """Name of the arm on so many successes and all failures."""
    return f"{number} successes + failures"


def with_against_without(plan: WorthPlan) -> dict[str, str]:
    """Arm with the failures -> the one without."""
    return {with_failures(n): without(n) for n in plan.numbers}


def success_by_number(cell: Cell, plan: WorthPlan) -> dict[str, float]:
    """One replicate; arm -> success rate."""
    lab, arms = cell.lab, []
    for i, number in enumerate(plan.numbers):
        own = Cell(lab, cell.demos.subset([*cell.successes[:number], *cell.failures]))
        alone = None if plan.steps_without is None else plan.steps_without[i]
        both = None if plan.steps_with is None else plan.steps_with[i]
        arms += [
            own.act(without(number), [], steps=alone),
            own.act(with_failures(number), cell.failures, steps=both),
        ]
    jobs = jobs_of(lab, arms, lab.recipe.seeds, cell.demos, lab.recipe.evaluation)
    outcomes = run_recorded(lab, jobs).outcomes()
    return {name: float(np.mean(list(own.values()))) for name, own in outcomes.items()}


@dataclass(frozen=True)
class Replaced:
    """How many successes the failures stand for, beside so many."""

    number: int
    """Successes that there are."""
    more: float
    """Successes to add to reach what the failures bring; infinite when no number measured does."""
    low: float
    high: float
    """95 % interval, from replicates drawn with replacement."""

    def as_json(self) -> dict[str, float | None]:
        """Its numbers; None for an infinite one."""
        return {name: value if np.isfinite(value) else None for name, value in vars(self).items()}


def replaced(found: Replicates, plan: WorthPlan, number: int, *, seed: int = 0) -> Replaced:
    """Read off the two curves how many more successes would bring what the failures do.

    The curve without failures is made monotone and is interpolated linearly in the logarithm of
    the number of successes.
    """
    curve = np.array([found.rates[without(n)] for n in plan.numbers])
    reached = np.array(found.rates[with_failures(number)])
    rng, n = np.random.default_rng(seed), reached.size
    draws = rng.integers(n, size=(2_000, n))
    more = [_more(plan.numbers, curve[:, d].mean(1), reached[d].mean(), number) for d in draws]
    low, high = np.quantile(more, [0.025, 0.975], method="inverted_cdf")
    middle = _more(plan.numbers, curve.mean(1), float(reached.mean()), number)
    return Replaced(number, middle, float(low), float(high))


def _more(numbers: Sequence[int], curve: np.ndarray, rate: float, number: int) -> float:
    rising = np.maximum.accumulate(curve)
    if rate > rising[-1]:
        return np.inf
    above = int(np.searchsorted(rising, rate))
    if above == 0:
        return float(min(numbers[0] - number, 0))
    low, high = rising[above - 1], rising[above]
    share = (rate - low) / (high - low)
    between = np.log(numbers[above - 1 : above + 1])
    return float(np.exp(between[0] + share * (between[1] - between[0])) - number)

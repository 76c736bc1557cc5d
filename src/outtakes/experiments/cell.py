"""A cell of a study: one task, one collection of demonstrations, so many of its successes.

Which demonstrations were collected is as random as training seeds and initial states are, so a
study has several cells a task, each in a folder of its own with its dataset.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from outtakes.data.demo import DemoSet, Outcome
from outtakes.errors import ConfigError
from outtakes.experiments.arm import Arm, act_arm
from outtakes.experiments.datasets import check_both_outcomes, collect_dataset, read_demos
from outtakes.experiments.lab import Lab

TUNING_COLLECTION = 1001
"""Collection seed of the demonstrations on which settings are chosen."""


@dataclass(frozen=True)
class Cell:
    """Few successes, all failures, and where what is made of them goes."""

    lab: Lab
    demos: DemoSet
    """The first so many successes of the collection, and its failures."""

    @property
    def successes(self) -> list[int]:
        """Episode indices."""
        return self.demos.episodes(Outcome.SUCCESS)

    @property
    def failures(self) -> list[int]:
        """Episode indices."""
        return self.demos.episodes(Outcome.FAILURE)

    def act(self, name: str, failures: Sequence[int], *, steps: int | None = None) -> Arm:
        """ACT on the successes and these failures, trained for so many steps."""
        label = f"ACT, {len(self.successes)} successes + {len(failures)} failures"
        arm = act_arm(self.lab.recipe, name, label, [*self.successes, *failures])
        if steps is None:
            return arm
        return replace(arm, training=replace(arm.training, steps=steps))


def prepare_cell(lab: Lab, successes: int) -> Cell:
    """Collect the recipe's demonstrations, unless they are there, and keep the first successes.

    Raises:
        ConfigError: when fewer were collected.
    """
    whole = read_demos(lab, collect_dataset(lab))
    check_both_outcomes(whole)
    own, failures = whole.episodes(Outcome.SUCCESS), whole.episodes(Outcome.FAILURE)
    if not 0 < successes <= len(own):
        raise ConfigError(
            f"{successes} of {len(own)} successes",
            where=whole.name,
            remedy=f"choose 1 to {len(own)}, or collect more",
        )
    return Cell(lab, whole.subset([*own[:successes], *failures]))

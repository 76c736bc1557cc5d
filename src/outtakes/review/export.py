"""From a review to a selection that training takes."""

from __future__ import annotations

from collections.abc import Set

from outtakes.data.demo import DemoSet
from outtakes.errors import ConfigError
from outtakes.selection.select import Choice, Selection

RULE = "review"
"""The rule of a selection that a person made."""


def kept_selection(demos: DemoSet, dropped: Set[int]) -> Selection:
    """Every episode that was not dropped.

    Args:
        demos: the dataset as training reads it.
        dropped: episode indices.

    Raises:
        ConfigError: when nothing is left.
    """
    outcomes = dict(zip(demos.episode_indices.tolist(), demos.successes.tolist(), strict=True))
    choices = [
        Choice(
            episode,
            episode not in dropped,
            f"{'success' if success else 'failure'}, "
            f"{'dropped' if episode in dropped else 'kept'} in review",
        )
        for episode, success in outcomes.items()
    ]
    if not any(choice.kept for choice in choices):
        raise ConfigError(
            "every episode is dropped", where=demos.name, remedy="keep some in the review"
        )
    return Selection(demos.name, demos.content_hash, RULE, choices)

"""Which episodes are kept: a selection less what a person dropped in review."""

from __future__ import annotations

from collections.abc import Set

from outtakes.data.demo import DemoSet, Outcome
from outtakes.errors import ArtifactError, ConfigError
from outtakes.selection.select import Choice, Selection

RULE = "review"
"""The rule of a selection that a person made."""


def kept_selection(
    demos: DemoSet, dropped: Set[int], selection: Selection | None = None
) -> Selection:
    """Every episode that is selected and was not dropped.

    Args:
        demos: the dataset as training reads it.
        dropped: episode indices that a person dropped.
        selection: what is selected of it; every episode when None. What it says of corrupt
            episodes, which `demos` lacks, is passed over.

    Raises:
        ArtifactError: when the selection keeps an episode that the dataset does not have.
        ConfigError: when nothing is left.
    """
    choices = _reviewed(demos) if selection is None else _selected(demos, selection)
    choices = [_unless_dropped(choice, dropped) for choice in choices]
    if not any(choice.kept for choice in choices):
        raise ConfigError(
            "every episode is dropped", where=demos.name, remedy="keep some in the review"
        )
    rule = RULE if selection is None else selection.rule
    return Selection(demos.name, demos.content_hash, rule, choices)


def _reviewed(demos: DemoSet) -> list[Choice]:
    outcomes = dict(zip(demos.episode_indices.tolist(), demos.successes.tolist(), strict=True))
    return [
        Choice(episode, True, f"{Outcome.of(success)}, kept in review")
        for episode, success in outcomes.items()
    ]


def _selected(demos: DemoSet, selection: Selection) -> list[Choice]:
    episodes = demos.episode_indices.tolist()
    strange = set(selection.kept) - {*episodes, *demos.provenance.skipped}
    if strange:
        raise ArtifactError(
            f"the selection keeps episode {min(strange)}, which the dataset does not have",
            where=demos.name,
            remedy="select again from scores of this dataset",
        )
    told = {choice.episode: choice for choice in selection.choices}
    return [told.get(e, Choice(e, False, "not in the selection")) for e in episodes]


def _unless_dropped(choice: Choice, dropped: Set[int]) -> Choice:
    if choice.episode not in dropped:
        return choice
    reason = choice.reason.removesuffix(", kept in review")
    return Choice(choice.episode, False, f"{reason}, dropped in review")

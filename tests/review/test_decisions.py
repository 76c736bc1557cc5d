"""Laws of deciding and taking back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outtakes.errors import ArtifactError
from outtakes.review.choices import UNDO_STEPS, Change, Decisions

PRESSES = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from(["success", "failure", True, False])), max_size=30
)


def press(decisions: Decisions, episode: int, value: str | bool) -> Decisions:
    field = "dropped" if isinstance(value, bool) else "label"
    change = Change(episode, field, decisions.value(episode, field), value)
    return decisions if change.idle else decisions.changed(change)


def shown(decisions: Decisions) -> tuple[dict[int, str], frozenset[int]]:
    return dict(decisions.labels), decisions.dropped


@given(PRESSES)
def test_undo_walks_back_through_every_state(presses):
    states = [Decisions()]
    for episode, value in presses:
        after = press(states[-1], episode, value)
        states += [after] if after is not states[-1] else []
    decisions = states[-1]
    for earlier in reversed(states[:-1]):
        decisions = decisions.undone()
        assert shown(decisions) == shown(earlier)
    assert decisions.undone() is decisions


@given(PRESSES)
def test_the_revision_counts_every_change_and_every_undo(presses):
    decisions = Decisions()
    for episode, value in presses:
        after = press(decisions, episode, value)
        assert after.revision == decisions.revision + (after is not decisions)
        decisions = after
    if decisions.history:
        assert decisions.undone().revision == decisions.revision + 1


def test_undo_passes_over_what_no_longer_stands():
    decisions = press(press(Decisions(), 0, "failure"), 1, "success")
    edited_by_hand = Decisions({0: "failure", 1: "failure"}, frozenset(), decisions.history, 2)
    assert shown(edited_by_hand.undone()) == ({1: "failure"}, frozenset())


def test_the_history_does_not_grow_without_end():
    decisions = Decisions()
    for step in range(UNDO_STEPS + 5):
        decisions = press(decisions, 0, step % 2 == 0)
    assert len(decisions.history) == UNDO_STEPS
    assert decisions.revision == UNDO_STEPS + 5


@pytest.mark.parametrize(
    ("field", "before", "after"),
    [
        ("label", None, "Success"),
        ("label", None, True),
        ("label", "good", None),
        ("dropped", False, "yes"),
        ("dropped", False, 1),
        ("dropped", 0, True),
        ("dropped", None, True),
        ("weight", None, None),
    ],
)
def test_what_cannot_be_set_is_refused(field, before, after):
    with pytest.raises(ArtifactError, match="cannot set"):
        Change(0, field, before, after)


@pytest.mark.parametrize("episode", [True, 1.0, "1", None])
def test_what_is_no_episode_index_is_refused(episode):
    with pytest.raises(ArtifactError, match="no episode index"):
        Change(episode, "dropped", False, True)

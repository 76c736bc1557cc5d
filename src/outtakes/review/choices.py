"""What a person decided about the episodes, and how to take it back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from outtakes.data.demo import Outcome
from outtakes.errors import ArtifactError

UNDO_STEPS = 1000
"""Changes that can be taken back."""

_VALUES: Mapping[str, tuple[Any, ...]] = {
    "label": (None, Outcome.SUCCESS.value, Outcome.FAILURE.value),
    "dropped": (False, True),
}


@dataclass(frozen=True)
class Change:
    """One key press.

    Raises:
        ArtifactError: when the field or a value is none that there is.
    """

    episode: int
    """Episode index."""
    field: Literal["label", "dropped"]
    before: str | bool | None
    """What it replaced: for a label None, "success" or "failure"; else whether dropped."""
    after: str | bool | None

    def __post_init__(self) -> None:
        # Neither True nor 1.0 is an episode, though both equal 1.
        if type(self.episode) is not int:
            raise ArtifactError(
                f"{self.episode!r} is no episode index", remedy="name episodes by whole numbers"
            )
        known = [(type(value), value) for value in _VALUES.get(self.field, ())]
        for value in (self.before, self.after):
            if (type(value), value) not in known:
                raise ArtifactError(
                    f"cannot set {self.field!r} of episode {self.episode} to {value!r}",
                    remedy="label it null, 'success' or 'failure', or drop it: true or false",
                )

    @property
    def idle(self) -> bool:
        """Whether it changes nothing."""
        return self.before == self.after


@dataclass(frozen=True)
class Decisions:
    """Every decision about one dataset at one moment."""

    labels: Mapping[int, str] = field(default_factory=dict)
    """Episode index -> "success" or "failure", where a person said so."""
    dropped: frozenset[int] = frozenset()
    """Episode indices to leave out."""
    history: tuple[Change, ...] = ()
    """The last changes, oldest first, without those taken back."""
    revision: int = 0
    """Changes ever made, those taken back and the taking back included."""

    def value(self, episode: int, what: str) -> str | bool | None:
        """What stands for one episode."""
        return self.labels.get(episode) if what == "label" else episode in self.dropped

    def stands(self, change: Change) -> bool:
        """Whether nothing has overruled a change since."""
        return self.value(change.episode, change.field) == change.after

    def changed(self, change: Change) -> Decisions:
        """These decisions after a key press."""
        made = self._set(change.episode, change.field, change.after)
        return replace(made, history=(*self.history, change)[-UNDO_STEPS:])

    def last(self) -> Change | None:
        """The change to take back: the last one that still stands.

        One may not stand because a kill came before its label was written, or because someone
        edited the label file.
        """
        return next((change for change in reversed(self.history) if self.stands(change)), None)

    def undone(self) -> Decisions:
        """These decisions without the last change that stands; the same when there is none."""
        change = self.last()
        if change is None:
            return self
        place = len(self.history) - 1 - self.history[::-1].index(change)
        made = self._set(change.episode, change.field, change.before)
        return replace(made, history=self.history[:place])

    def _set(self, episode: int, what: str, value: str | bool | None) -> Decisions:
        labels, dropped = dict(self.labels), self.dropped - {episode}
        if what == "dropped":
            dropped |= {episode} if value else set()
            return replace(self, dropped=dropped, revision=self.revision + 1)
        labels.pop(episode, None)
        if value is not None:
            labels[episode] = str(value)
        return replace(self, labels=labels, revision=self.revision + 1)

"""The two files a review leaves: `episode_labels.json` and `review.json`.

Every change is read from disk, checked, made and written under a lock on the folder, so several
pages, and several processes on one machine, add to one another's decisions. A change tells what it
believes it replaces. Where that is no longer so it is refused, never silently laid over what
someone else decided.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from outtakes.data.demo import Outcome
from outtakes.data.labels import SIDECAR, locked, read_labels, replace_labels
from outtakes.errors import ArtifactError
from outtakes.files import read_json, write_json
from outtakes.review.choices import Change, Decisions

REVIEW = "review.json"
"""Name of the file with what is dropped and what can be undone."""

_KIND, _VERSION = "review", 1


class Conflict(Exception):
    """What a change would replace was changed elsewhere."""

    def __init__(self, decisions: Decisions) -> None:
        super().__init__("changed elsewhere")
        self.decisions = decisions


@dataclass(frozen=True)
class Sidecars:
    """Where the decisions about one dataset are kept."""

    dataset: Path
    folder: Path
    """The dataset's own folder, or another one where that cannot be written to."""
    episode_indices: Collection[int]
    """The episodes there are."""

    @property
    def labels(self) -> Path:
        """The label file, the same that reading a dataset looks for."""
        return self.folder / SIDECAR

    @property
    def review(self) -> Path:
        """The file with the rest."""
        return self.folder / REVIEW

    def read(self) -> Decisions:
        """What is on disk.

        In another folder than the dataset's, the dataset's own labels stand until the first change.

        Raises:
            DatasetError: when the label file is malformed or names an unknown episode.
            ArtifactError: when `review.json` is.
        """
        path = self.labels if self.labels.exists() else self.dataset / SIDECAR
        successes = read_labels(path, self.episode_indices) if path.exists() else {}
        labels = {episode: Outcome.of(success).value for episode, success in successes.items()}
        if not self.review.exists():
            return Decisions(labels)
        return self._parse(labels, read_json(self.review, _KIND, _VERSION))

    def _parse(self, labels: dict[int, str], content: dict[str, Any]) -> Decisions:
        try:
            decisions = Decisions(
                labels,
                frozenset(int(episode) for episode in content["dropped"]),
                tuple(Change(**change) for change in content["history"]),
                int(content["revision"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ArtifactError(
                f"the review file lacks or garbles {error}", where=self.review, remedy="mend it"
            ) from error
        named = decisions.dropped | {change.episode for change in decisions.history}
        strange = sorted(named - set(self.episode_indices))
        if strange:
            raise ArtifactError(
                f"it names episode {strange[0]}, which the dataset does not have",
                where=self.review,
                remedy="it belongs to another dataset; move it away",
            )
        return decisions

    def change(self, change: Change) -> Decisions:
        """Make one change and write it.

        Raises:
            Conflict: when something else stands than the change would replace.
            ArtifactError: when there is no such episode, or the files on disk are damaged.
            MachineError: when the folder is not writable or the disk is full.
        """
        if change.episode not in self.episode_indices:
            raise ArtifactError(
                f"no episode {change.episode}", where=self.dataset, remedy="reload the page"
            )
        with locked(self.folder):
            decisions = self.read()
            if decisions.value(change.episode, change.field) != change.before:
                raise Conflict(decisions)
            return decisions if change.idle else self._write(decisions, decisions.changed(change))

    def undo(self, revision: int) -> Decisions:
        """Take the last change back and write that.

        Args:
            revision: of the decisions that the caller has seen.

        Raises:
            Conflict: when there has been another change since.
            MachineError: when the folder is not writable or the disk is full.
        """
        with locked(self.folder):
            decisions = self.read()
            if decisions.revision != revision:
                raise Conflict(decisions)
            undone = decisions.undone()
            return decisions if undone is decisions else self._write(decisions, undone)

    def _write(self, before: Decisions, after: Decisions) -> Decisions:
        # The history first: after a kill in between, undo passes over a change that did not land.
        content = {
            "revision": after.revision,
            "dropped": sorted(after.dropped),
            "history": [asdict(change) for change in after.history],
        }
        write_json(self.review, _KIND, _VERSION, content)
        if after.labels != before.labels:
            successes = {e: word == Outcome.SUCCESS for e, word in after.labels.items()}
            replace_labels(self.labels, successes)
        return after

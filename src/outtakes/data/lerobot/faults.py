"""Corrupt episodes: refused at once, or gathered to be left out."""

from __future__ import annotations

from pathlib import Path

from outtakes.errors import DatasetError

RESTORE = "restore the file, or export the dataset again"
"""Remedy of a damaged file."""


class UnreadableFile(DatasetError):
    """A file of a dataset that is missing, truncated or damaged."""


class CorruptEpisode(DatasetError):
    """One episode that cannot be read, in a dataset whose others may be sound.

    Args:
        episode: its index.
        what: what is wrong with it.
        file: the file in which it is wrong.
        remedy: how to mend it.
    """

    def __init__(self, episode: int, what: str, *, file: Path, remedy: str) -> None:
        self.episode, self.file, self.mend = int(episode), file, remedy
        super().__init__(
            what,
            where=f"{file}, episode {episode}",
            remedy=f"{remedy}, or leave the episode out with --skip-bad",
        )


class Faults:
    """The corrupt episodes that one pass over a dataset meets.

    Args:
        skip: gather them, so that a second pass can leave them out; else the first is raised.
    """

    def __init__(self, *, skip: bool) -> None:
        self.skip = skip
        self.found: dict[int, str] = {}
        """Episode index -> what is wrong and where."""

    def report(self, error: CorruptEpisode) -> None:
        """Raise the error, or remember it when episodes may be left out."""
        if not self.skip:
            raise error
        self.found.setdefault(error.episode, f"{error.what} ({error.where})")

"""Mistakes the user can mend.

Every error says what is wrong, where, and how to mend it, in one line. The command line prints
that line and exits with code 2; any other exception is our own fault and exits with code 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from os import PathLike
from typing import Any


class OuttakesError(Exception):
    """Base of every mistake the user can mend.

    Args:
        what: what is wrong, with the offending value.
        where: the file, folder or episode it is found in.
        remedy: what to do about it, as an imperative.
    """

    def __init__(self, what: str, *, where: str | PathLike[str] | None = None, remedy: str) -> None:
        self.what, self.where, self.remedy = what, where, remedy
        place = f" ({where})" if where is not None else ""
        super().__init__(f"{what}{place}: {remedy}")

    def __reduce__(self) -> tuple[Any, ...]:
        # Workers hand errors to their parent by pickle, which would call `__init__` with the
        # message alone.
        return _restore, (type(self), self.args, self.__dict__)


def _restore(kind: type[OuttakesError], args: tuple[Any, ...], facts: Mapping[str, Any]) -> Any:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(facts)
    return error


class ConfigError(OuttakesError):
    """A setting that cannot work."""


class DatasetError(OuttakesError):
    """A dataset that cannot be read or used as it stands."""


class CheckpointError(OuttakesError):
    """A run folder or checkpoint that cannot be used here."""


class ArtifactError(OuttakesError):
    """A result file (scores, selection, rollouts, ...) that is missing or malformed."""


class MachineError(OuttakesError):
    """The machine lacks something: disk space, a writable folder, OpenGL, a package."""


_LISTED = 20
"""Valid names that fit in a line; of more, only those like the one given are named."""


class UnknownName(ConfigError):
    """A name that is not in the list of valid ones."""

    def __init__(self, kind: str, name: str, valid: Iterable[str]) -> None:
        valid = sorted(valid)
        close = get_close_matches(name, valid, n=5)
        hint = f"did you mean {close[0]!r}? " if close else ""
        if len(valid) <= _LISTED:
            choice = f"choose one of {', '.join(valid)}"
        else:
            choice = f"choose one of {len(valid)}, such as {', '.join(close or valid[:5])}"
        super().__init__(f"unknown {kind} {name!r}", remedy=hint + choice)

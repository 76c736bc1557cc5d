"""How long work tells of its progress."""

from __future__ import annotations

from typing import Protocol, runtime_checkable


@runtime_checkable
class Progress(Protocol):
    """Called as work goes on."""

    def __call__(self, done: int, total: int, what: str) -> None:
        """So many done of a total; `what` says of what, for people."""
        ...

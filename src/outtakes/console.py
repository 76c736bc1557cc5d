"""Talking to people: progress and results on a terminal, plain lines elsewhere, JSON on request."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from typing import Any

_SECONDS_BETWEEN_LINES = 10.0


class Console:
    """Progress on standard error, results on standard output.

    Args:
        as_json: print one JSON object on standard output at the end and nothing else there.
    """

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self._bar: Any = None
        self._task: Any = None
        self._total: int | None = None
        self._done, self._first, self._started, self._last_line = 0, 0, 0.0, 0.0

    def progress(self, done: int, total: int, what: str) -> None:
        """Show how far a stage is, and how long it will take.

        One clock runs as long as the total stays and what is done grows; else another begins.
        """
        fresh = total != self._total or done < self._done
        if fresh:
            self._first, self._started = done, time.monotonic()
        self._total, self._done = total, done
        if sys.stderr.isatty() and not self.as_json:
            self._draw(done, total, what, fresh=fresh)
        else:
            self._print_line(done, total, what)

    def _draw(self, done: int, total: int, what: str, *, fresh: bool) -> None:
        from rich.console import Console as RichConsole
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        if self._bar is None:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                console=RichConsole(stderr=True),
            )
            self._bar.start()
        if fresh or self._task is None:
            self._task = self._bar.add_task(what, total=total)
        self._bar.update(self._task, completed=done, description=what)

    def _print_line(self, done: int, total: int, what: str) -> None:
        now = time.monotonic()
        if done < total and now - self._last_line < _SECONDS_BETWEEN_LINES:
            return
        self._last_line = now
        left = ""
        if self._first < done < total:
            seconds = (now - self._started) / (done - self._first) * (total - done)
            left = f", about {_duration(seconds)} left"
        print(f"{done}/{total} {what}{left}", file=sys.stderr, flush=True)

    def note(self, text: str) -> None:
        """Say something before the work goes on; a program finds it in the JSON object."""
        self.close()
        if not self.as_json:
            print(text, file=sys.stderr, flush=True)

    def close(self) -> None:
        """End the progress display."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = self._task = None

    def result(self, text: str, content: Mapping[str, Any]) -> None:
        """Say what came out: text for people, or the JSON object."""
        self.close()
        print(json.dumps(content) if self.as_json else text, flush=True)

    def error(self, message: str) -> None:
        """One line on standard error."""
        self.close()
        print(f"outtakes: {' '.join(message.split())}", file=sys.stderr, flush=True)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"

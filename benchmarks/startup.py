"""How long it takes to import the package and to be helped."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks.side_by_side import Row, Side, compare

PYTHON = [sys.executable, "-c", "pass"]


def start(command: list[str], what: str, target: str) -> Row:
    """A process of its own beside one that does nothing."""
    return compare(
        what,
        Side("Outtakes", lambda: subprocess.run(command, check=True, capture_output=True)),
        Side("python -c pass", lambda: subprocess.run(PYTHON, check=True, capture_output=True)),
        unit="process",
        target=target,
    )


def starts() -> list[Row]:
    """`import outtakes` and `outtakes --help`."""
    return [
        start(
            [sys.executable, "-c", "import outtakes"],
            "python -c 'import outtakes'",
            "at most 0.15 s",
        ),
        start(
            [str(Path(sys.executable).with_name("outtakes")), "--help"],
            "outtakes --help",
            "at most 0.5 s",
        ),
    ]

"""Calling the command line as a user does, in this process or in one of its own."""

from __future__ import annotations

import hashlib
import io
import os
import re
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest

from outtakes.cli import main

SCRIPT = Path(sys.executable).with_name("outtakes")
TINY = ("--recipe", "smoke", "--steps", "2", "--chunk", "5", "--seeds", "0")
"""A run of next to no work on the datasets of `tests.data.episodes`."""


@dataclass(frozen=True)
class Called:
    """What a call left on the screen."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one line that says what is wrong; other lines may only tell of progress and of the
        settings that were chosen."""
        *others, error = self.err.splitlines()
        assert all(re.match(r"\d+/\d+ |  \w+ ", line) for line in others), self.err
        assert error.startswith("outtakes: "), self.err
        return error.removeprefix("outtakes: ")


def outtakes(*arguments: object) -> Called:
    """Call a verb in this process, which has imported torch already."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as exited:
        main([str(argument) for argument in arguments])
    assert isinstance(exited.value.code, int)
    return Called(exited.value.code, out.getvalue(), err.getvalue())


def done(*arguments: object) -> Called:
    """Call a verb that must succeed."""
    called = outtakes(*arguments)
    assert called.code == 0, called.err
    return called


def refused(*arguments: object) -> str:
    """Call a verb that must refuse in one line; returns the line."""
    called = outtakes(*arguments)
    assert called.code == 2, called
    assert called.out == ""
    return called.error


def in_own_process(*arguments: object, **environment: str) -> Called:
    """Call a verb as a shell does."""
    finished = subprocess.run(
        [SCRIPT, *map(str, arguments)],
        capture_output=True,
        text=True,
        env=os.environ | environment,
        check=False,
    )
    return Called(finished.returncode, finished.stdout, finished.stderr)


def fingerprint(*folders: Path) -> dict[Path, str]:
    """Path -> hash of every file, and every folder, below these."""
    return {
        path: hashlib.blake2b(path.read_bytes()).hexdigest() if path.is_file() else "folder"
        for folder in folders
        for path in folder.rglob("*")
    }

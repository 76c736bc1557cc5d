"""Which code is running."""

from __future__ import annotations

import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path


def release() -> str:
    """The installed version of Outtakes; sources that were only copied somewhere have none."""
    try:
        return metadata.version("outtakes")
    except metadata.PackageNotFoundError:
        return "not installed"


@cache
def commit() -> str:
    """Git commit of a source checkout, with "+" when it has changes; else the release."""
    folder = Path(__file__).parent
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*"],
            cwd=folder,
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return release()
    return described.stdout.strip()

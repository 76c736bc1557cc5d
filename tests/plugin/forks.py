"""LeRobot's commands, each in a process of its own, without importing LeRobot each time."""

from __future__ import annotations

import multiprocessing
import os
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

PATIENCE = 300
"""s that a command may take on a busy machine."""
IMPORTED_ONCE = ("train", "eval", "rollout")


def call(command: str, arguments: Sequence[str], *, home: Path) -> tuple[int | None, str]:
    """Run an installed command of LeRobot's in a folder, as a shell does.

    The process is a fork of one that has imported the commands' modules and done nothing else. That
    one keeps the environment it finds when it is first needed.

    Returns:
        The command's exit status, and what it logged.
    """
    server = multiprocessing.get_context("forkserver")
    modules = [f"lerobot.scripts.lerobot_{name}" for name in IMPORTED_ONCE]
    server.set_forkserver_preload([__name__, *modules])
    script = Path(sys.executable).with_name(f"lerobot-{command}")
    log = home / f"{command}.log"
    process = server.Process(target=_run, args=(str(script), list(arguments), home, log))
    process.start()
    process.join(PATIENCE)
    process.kill()
    return process.exitcode, log.read_text(encoding="utf-8")


def _run(script: str, arguments: list[str], home: Path, log: Path) -> None:
    os.chdir(home)
    os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), sys.stderr.fileno())
    sys.argv = [script, *arguments]
    runpy.run_path(script, run_name="__main__")

"""What a command said when it was done, to say it again when nothing has changed since."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from outtakes import version
from outtakes.cli.verb import Verb
from outtakes.console import Console
from outtakes.errors import ArtifactError
from outtakes.files import read_json, write_json

_FILE, _KIND, _VERSION = "finished.json", "finished", 1
_LEFT = ("scores.json", "selection.json", "recommendation.json", "report.html")
"""What must be as it was left."""


class Finished:
    """The end of a command in its folder, found again without importing what did the work.

    Args:
        verb: the command.
        out: its folder.
        inputs: files and folders that it reads.
    """

    def __init__(self, verb: Verb, out: Path, inputs: Iterable[Path] = ()) -> None:
        self._path = out / _FILE
        self._left = [out / name for name in _LEFT]
        asked = {n: str(v) for n, v in asdict(verb).items() if n not in ("json", "out")}
        self._key = {
            "asked": asked,
            "inputs": _fingerprint(inputs),
            "code": version.commit(),
        }

    def told_again(self, console: Console) -> bool:
        """Whether all is done already; then says so, and what came of it."""
        if not self._path.exists():
            return False
        try:
            said = read_json(self._path, _KIND, _VERSION)
        except ArtifactError:
            return False
        if (said.get("key"), said.get("left")) != (self._key, _fingerprint(self._left)):
            return False
        console.note("  All of this is done already.")
        console.result(said["text"], said["content"])
        return True

    def tell(self, console: Console, text: str, content: dict[str, Any]) -> None:
        """Say what came of it, and keep it."""
        left = _fingerprint(self._left)
        said = {"key": self._key, "left": left, "text": text, "content": content}
        write_json(self._path, _KIND, _VERSION, said)
        console.result(text, content)


def _fingerprint(paths: Iterable[Path]) -> str:
    """Of the names, sizes and times of all files; nothing is read."""
    found = hashlib.blake2b(digest_size=16)
    for path in paths:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            facts = file.stat() if file.is_file() else None
            told = facts and (facts.st_size, facts.st_mtime_ns)
            found.update(f"{file}\0{told}\n".encode())
    return found.hexdigest()

"""Commands as pages print them, in blocks of shell."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

BLOCK = re.compile(r"^ *```sh\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


def printed_commands(page: Path) -> Iterator[list[str]]:
    """The words of every command of a page, comments left out."""
    for block in BLOCK.findall(page.read_text(encoding="utf-8")):
        so_far = ""
        for line in block.splitlines():
            so_far += line.removesuffix("\\") + ("" if line.endswith("\\") else "\n")
            if line.endswith("\\"):
                continue
            try:
                words = shlex.split(so_far, comments=True)
            except ValueError:  # a quotation goes on in the next line
                continue
            so_far = ""
            if words:
                yield words

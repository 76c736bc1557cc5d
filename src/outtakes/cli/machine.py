"""Verbs about this machine: doctor."""

from __future__ import annotations

from dataclasses import dataclass

from outtakes.cli.verb import Verb
from outtakes.console import Console


@dataclass
class Doctor(Verb):
    """Check versions, renderer, devices and disk of this machine."""

    def run(self, console: Console) -> None:
        """Print the findings; exit code 2 when something must be mended."""
        from outtakes.doctor import inspect_machine

        machine = inspect_machine()
        console.result(
            "\n".join(f"{f.level:>4}  {f.subject}: {f.text}" for f in machine.findings),
            {
                "healthy": machine.healthy,
                "findings": [
                    {"level": f.level, "subject": f.subject, "text": f.text}
                    for f in machine.findings
                ],
            },
        )
        if not machine.healthy:
            raise SystemExit(2)

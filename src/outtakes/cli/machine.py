"""Verbs about this machine: doctor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from outtakes.cli.verb import Verb
from outtakes.console import Console

if TYPE_CHECKING:
    from outtakes.doctor import Finding


@dataclass
class Doctor(Verb):
    """Check versions, renderer, devices and disk of this machine."""

    def run(self, console: Console) -> None:
        """Print the findings; exit code 2 when something must be mended."""
        from outtakes.doctor import inspect_machine

        machine = inspect_machine()
        console.result(
            "\n".join(_line(finding) for finding in machine.findings),
            {
                "healthy": machine.healthy,
                "findings": [
                    {"level": f.level, "subject": f.subject, "text": f.text, "remedy": f.remedy}
                    for f in machine.findings
                ],
            },
        )
        if not machine.healthy:
            raise SystemExit(2)


def _line(finding: Finding) -> str:
    remedy = f": {finding.remedy}" if finding.remedy else ""
    return f"{finding.level:>4}  {finding.subject}: {finding.text}{remedy}"

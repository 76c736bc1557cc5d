"""What became of every demonstration: `meta/import.json` of an imported dataset."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from outtakes.data.demo import Outcome
from outtakes.files import write_json
from outtakes.importers.reader import Facts

FILE = "meta/import.json"
"""Where it lies in a dataset."""
KIND, VERSION = "import", 1


@dataclass(frozen=True)
class Imported:
    """A demonstration that became an episode."""

    demo: str
    outcome: Outcome
    outcome_source: str
    """Who says so."""
    frames: int


@dataclass(frozen=True)
class Skipped:
    """A demonstration that was left out."""

    demo: str
    reason: str


@dataclass(frozen=True)
class Manifest:
    """The account of one import."""

    source: Path
    facts: Facts
    imported: Sequence[Imported]
    """In the order of their episode indices, from 0."""
    skipped: Sequence[Skipped]

    def count(self, outcome: Outcome) -> int:
        """How many demonstrations with this outcome were imported."""
        return sum(entry.outcome is outcome for entry in self.imported)

    @property
    def text(self) -> str:
        """Summary for people."""
        sources = Counter((entry.outcome, entry.outcome_source) for entry in self.imported)
        told = [f"  {n} {outcome} by {source}" for (outcome, source), n in sorted(sources.items())]
        left_out = [f"  {entry.demo}: {entry.reason}" for entry in self.skipped]
        total = len(self.imported) + len(self.skipped)
        return "\n".join(
            [
                f"{total} demonstrations: {self.count(Outcome.SUCCESS)} successes and "
                f"{self.count(Outcome.FAILURE)} failures imported, {len(self.skipped)} skipped",
                *told,
                *([f"Skipped from {self.source}:", *left_out] if left_out else []),
                f'Task "{self.facts.task}", {self.facts.fps} frames a second',
                *(f"  {name}: {', '.join(made)}" for name, made in self.facts.origins.items()),
            ]
        )

    @property
    def content(self) -> dict[str, Any]:
        """Summary for programs."""
        return {
            "source": str(self.source.absolute()),
            "format": self.facts.format,
            "fps": self.facts.fps,
            "task": self.facts.task,
            "features": _lists(self.facts.origins),
            "successes": self.count(Outcome.SUCCESS),
            "failures": self.count(Outcome.FAILURE),
            "episodes": [
                {"episode_index": episode, **asdict(entry)}
                for episode, entry in enumerate(self.imported)
            ],
            "skipped": [asdict(entry) for entry in self.skipped],
        }

    def save(self, dataset: Path) -> None:
        """Write it into a dataset."""
        write_json(dataset / FILE, KIND, VERSION, self.content)


def _lists(origins: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    return {name: list(made) for name, made in origins.items()}

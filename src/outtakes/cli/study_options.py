"""What studies take: a task, a cell of demonstrations, replicates."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from outtakes.cli.verb import Overrides
from outtakes.console import Console

if TYPE_CHECKING:
    from outtakes.api import Lab
    from outtakes.experiments.cell import Cell


@dataclass(kw_only=True)
class OnTask(Overrides):
    """What all studies take."""

    needs = ("av", "jinja2", "lerobot", "mujoco", "pyarrow", "scipy")

    out: Path = Path("outtakes-study")
    """Folder for everything; a second call goes on where the first stopped."""
    task: str = "lift"
    """The simulated task."""
    workers: int | None = None
    """Processes, a core each; as many as there are cores when not given."""

    def laboratory(self, console: Console) -> Lab:
        """The study's folder and settings."""
        lab = self.lab(self.settings(), self.out, console, task=self.task)
        return replace(lab, workers=self.workers)


@dataclass(kw_only=True)
class OnCell(OnTask):
    """What studies of few successes and all failures of one collection take."""

    successes: int = 10
    """Successes beside the failures: the first so many of the collection."""
    collection: int | None = None
    """Collection seed of the demonstrations."""
    rollouts: int | None = None
    """Rollouts of every seed of every arm; the recipe's when not given."""

    def cell(self, console: Console, *, tuning: bool) -> Cell:
        """The cell; of tuning, on demonstrations and initial states that nothing reports."""
        from outtakes.experiments import replication

        return replication.cell(
            self.laboratory(console),
            self.successes,
            collection=self.collection,
            rollouts=self.rollouts,
            tuning=tuning,
        )


@dataclass(kw_only=True)
class OnReplicates(OnTask):
    """What studies take that are repeated on collections of their own."""

    successes: int = 10
    """Successes beside the failures: the first so many of each collection."""
    replicates: int = 8
    """Collections, each with initial states and training seeds of its own."""
    rollouts: int | None = None
    """Rollouts of every seed of every arm; the recipe's when not given."""
    tuning: bool = False
    """On collections and initial states that nothing reported uses."""

    def repeated(self) -> dict[str, Any]:
        """These settings."""
        names = ("successes", "replicates", "rollouts", "tuning")
        return {name: getattr(self, name) for name in names}

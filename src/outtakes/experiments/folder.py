"""The folder of an experiment: the names of its artifacts, and each of them read when asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from outtakes.data.demo import DemoSet
from outtakes.data.lerobot.metadata import read_metadata
from outtakes.data.lerobot.read import read_dataset
from outtakes.data.reading import Reading
from outtakes.errors import ArtifactError
from outtakes.evaluation.comparison import Comparison
from outtakes.evaluation.learning_curves import BUDGETS, Budgets
from outtakes.evaluation.recommendation import Recommendation
from outtakes.evaluation.rollouts import RolloutLog
from outtakes.experiments.held_out import ActionErrors
from outtakes.experiments.runs import ROLLOUTS
from outtakes.files import load_json, write_json
from outtakes.ranking.scores import Scores
from outtakes.selection.made_for import check_made_for
from outtakes.selection.select import Selection

DATASET = "dataset"
SETUP = "setup.json"
SCORES = "scores.json"
SELECTION = "selection.json"
SUCCESSES = "successes.json"
COMPARISON = "comparison.json"
ACTION_ERRORS = "action_error.json"
FILMS = "films.json"
RETRIEVAL = "retrieval.json"
SIGNALS = "signals.parquet"
ADVICE = "recommendation.json"
UNTIL_CLEAR = "until_clear.json"

_KIND, _VERSION = "setup", 3


@dataclass(frozen=True)
class Setup:
    """What the report needs to know that no other artifact says."""

    title: str
    """What was done, for people."""
    dataset: Path
    """Folder of the dataset, relative to the experiment's when inside it."""
    reading: Reading
    """How it was read."""
    labels: Mapping[str, str]
    """Name in comparisons -> name for people."""
    paper: Mapping[str, str]
    """Name in comparisons -> the paper's success rate, in %."""
    retrained: str
    """The arm retrained on the selection; "" when there is none."""
    seed: int
    """The training seed whose runs are shown."""
    provenance: Mapping[str, str]
    """What, where, when: recipe, commit, machine, durations; in the order they are shown."""

    def save(self, path: Path) -> None:
        """Write `setup.json`."""
        size = self.reading.image_size
        content = {
            **{field.name: getattr(self, field.name) for field in fields(self)},
            "dataset": str(self.dataset),
            "reading": {**self.reading.as_json(), "image_size": size},
            "labels": dict(self.labels),
            "paper": dict(self.paper),
            "provenance": dict(self.provenance),
        }
        write_json(path, _KIND, _VERSION, content)

    @staticmethod
    def load(path: Path) -> Setup:
        """Read `setup.json`, of this version or the one before, which held commands too.

        Raises:
            ArtifactError: when it is missing, damaged or of another version.
        """
        return load_json(path, _KIND, (2, _VERSION), _parse, remedy="run the experiment again")


def _parse(content: Mapping[str, Any]) -> Setup:
    own = {field.name: content[field.name] for field in fields(Setup)}
    reading = dict(own["reading"])
    size = reading.pop("image_size")
    own |= {"dataset": Path(own["dataset"]), "reading": Reading.from_json(reading, size)}
    return Setup(**own)


@dataclass(frozen=True)
class Folder:
    """One experiment's folder, its artifacts read when first asked for."""

    out: Path

    @cached_property
    def setup(self) -> Setup:
        """`setup.json`."""
        return Setup.load(self.out / SETUP)

    @property
    def dataset(self) -> Path:
        """Where the dataset is."""
        root = self.setup.dataset
        return root if root.is_absolute() else self.out / root

    @cached_property
    def demos(self) -> DemoSet:
        """The dataset, with its images."""
        return read_dataset(self.dataset, self.setup.reading)

    @cached_property
    def metadata(self) -> dict[int, dict[str, Any]]:
        """Facts about the episodes that training never saw."""
        return read_metadata(self.dataset)

    @cached_property
    def scores(self) -> Scores:
        """`scores.json`, of the dataset as it is.

        Raises:
            ArtifactError: when the dataset changed since.
        """
        return self.scores_of(self.demos)

    def scores_of(self, demos: DemoSet) -> Scores:
        """`scores.json`, which must be of these demonstrations.

        Raises:
            ArtifactError: when it is of others, or of other outcomes of these.
        """
        scores = Scores.load(self.out / SCORES)
        if demos.content_hash != scores.content_hash:
            raise ArtifactError(
                "the dataset changed since it was ranked",
                where=demos.name,
                remedy="restore it, or rank again",
            )
        check_made_for(demos, scores, self.out / SCORES)
        return scores

    @cached_property
    def selection(self) -> Selection:
        """`selection.json`."""
        return Selection.load(self.out / SELECTION)

    @cached_property
    def comparison(self) -> Comparison | None:
        """`comparison.json`; None when nothing was rolled out."""
        path = self.out / COMPARISON
        return Comparison.load(path) if path.exists() else None

    @cached_property
    def action_errors(self) -> ActionErrors | None:
        """`action_error.json`; None when there was no cross-validation."""
        path = self.out / ACTION_ERRORS
        return ActionErrors.load(path) if path.exists() else None

    @cached_property
    def budgets(self) -> Budgets | None:
        """`budgets.json`; None where training lengths were not tuned."""
        path = self.out / BUDGETS
        return Budgets.load(path) if path.exists() else None

    @cached_property
    def recommendation(self) -> Recommendation | None:
        """`recommendation.json`; None in a folder that is older."""
        path = self.out / ADVICE
        return Recommendation.load(path) if path.exists() else None

    @cached_property
    def rollouts(self) -> RolloutLog:
        """`rollouts.parquet`."""
        return RolloutLog.load(self.out / ROLLOUTS)

    def label(self, treatment: str) -> str:
        """Its name for people."""
        return self.setup.labels.get(treatment, treatment)

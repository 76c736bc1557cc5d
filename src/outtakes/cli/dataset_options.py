"""What all verbs that read a dataset share."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from outtakes.cli.verb import Overrides, Verb, check_writable
from outtakes.console import Console

if TYPE_CHECKING:
    from outtakes.api import Prepared, Recipe
    from outtakes.data.demo import DemoSet
    from outtakes.data.reading import Reading


@dataclass(kw_only=True)
class Labelled(Verb):
    """What all verbs that look at a dataset take: where its outcomes are, and what to do about
    corrupt episodes."""

    outcome_from: str | None = None
    """The one source of outcomes: labels, folders, or a column as COLUMN or COLUMN:THRESHOLD, for
    example next.reward:0.9; looked for everywhere when not given."""
    labels: Path | None = None
    """A label file (.json or .csv) in place of those in the dataset's folder."""
    skip_bad: bool = False
    """Leave corrupt episodes out, and list them, instead of refusing the dataset."""

    def reading(self) -> Reading:
        """How to read the dataset."""
        from outtakes.data.reading import Reading

        labels = None if self.labels is None else self.labels.absolute()
        return Reading(outcome_from=self.outcome_from, labels=labels, skip_bad=self.skip_bad)


@dataclass(kw_only=True)
class Reads(Labelled):
    """What to read of a dataset, chosen by itself unless given."""

    cameras: tuple[str, ...] | None = None
    """Cameras to read, and for the policy to look through; none when given without a name."""
    image_size: int | None = None
    """Pixels on a side of the square that images are averaged down to; the recipe's when not
    given."""
    state: bool = True
    """Whether the policy observes the robot's state (observation.state)."""
    environment_state: bool = True
    """Whether the policy observes object poses (observation.environment_state)."""
    one_task: bool = False
    """Take all episodes for one task, whatever their instructions say; else the policy is told the
    task, and a failure is compared with successes of its own."""

    def reading(self) -> Reading:
        """How to read the dataset."""
        return replace(
            super().reading(),
            cameras=self.cameras,
            state=self.state,
            environment_state=self.environment_state,
            one_task=self.one_task,
        )

    def settings(self) -> Recipe:
        """The recipe, at the image size that was chosen."""
        chosen = super().settings()
        return chosen if self.image_size is None else replace(chosen, image_size=self.image_size)

    def load(self, dataset: str, console: Console) -> DemoSet:
        """The dataset, read in this way."""
        from outtakes import api

        return api.load(
            dataset, recipe=self.settings(), reading=self.reading(), progress=console.progress
        )


@dataclass(kw_only=True)
class Trains(Overrides, Reads):
    """What verbs share that train on a dataset of the user's own."""

    dataset: Annotated[Positional[str], arg(metavar="DATASET")]
    """A LeRobot dataset with successes and failures: a folder, or owner/name on the hub."""
    eyes: Literal["auto", "frozen", "tokens", "resnet"] | None = None
    """How the policy looks at pictures, in place of object poses: frozen ImageNet features, the
    same as tokens for the encoder, or a ResNet-18 trained with it. The recipe's when not given:
    auto, which is frozen on a CPU where there are no object poses."""
    short_episodes: Literal["shorten", "pad"] = "shorten"
    """For episodes shorter than an action chunk: shorten the chunk, by half at the most, or
    repeat their last action."""

    def reading(self) -> Reading:
        """How to read the dataset; for a ResNet-18 that was asked for, without object poses."""
        chosen = super().reading()
        return replace(chosen, environment_state=False) if self.eyes == "resnet" else chosen

    def settings(self) -> Recipe:
        """The recipe, with the eyes that were chosen."""
        chosen = super().settings()
        return chosen if self.eyes is None else replace(chosen, eyes=self.eyes)

    def prepare(self, out: Path, console: Console) -> Prepared:
        """The dataset, and the recipe fitted to it; shows the settings."""
        from outtakes import api

        check_writable(out)
        prepared = api.prepare(
            self.dataset,
            out,
            recipe=self.settings(),
            reading=self.reading(),
            chunk=self.chunk,
            short_episodes=self.short_episodes,
            device=self.device,
            progress=console.progress,
        )
        console.note(prepared.overview.table())
        return prepared

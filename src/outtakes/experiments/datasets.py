"""Datasets of experiments: collected, read, checked, and a recipe fitted to them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from outtakes.data.demo import DemoSet, Outcome
from outtakes.data.lerobot.read import read_dataset
from outtakes.data.lerobot.write import write_dataset
from outtakes.errors import ArtifactError, DatasetError
from outtakes.experiments.lab import Lab, cores
from outtakes.experiments.overview import Overview
from outtakes.experiments.recipes import adapt
from outtakes.files import Location
from outtakes.progress import Progress
from outtakes.ranking.scores import Scores
from outtakes.selection.select import Selection
from outtakes.sim.collect import CollectConfig, collect
from outtakes.sim.environment import make_environment

ShortEpisodes = Literal["shorten", "pad"]
"""For episodes shorter than a chunk: make the chunk shorter, or repeat their last action."""
_EPISODES_OF_ONE_PROCESS = 10
"""So few are collected sooner than processes start."""


def collect_dataset(lab: Lab) -> Path:
    """Collect the recipe's demonstrations into `dataset/`, unless they are there."""
    root, recipe = lab.out / "dataset", lab.recipe
    if root.exists():
        return root
    with lab.timed("collect"):
        record(recipe.collect, root, workers=lab.workers, progress=lab.progress)
    return root


def record(
    config: CollectConfig,
    root: Path,
    *,
    workers: int | None = None,
    progress: Progress | None = None,
) -> None:
    """Collect demonstrations and write them as a LeRobot dataset."""

    def report(done: int, total: int, what: str) -> None:
        if progress:
            progress(done, total, what)

    if workers is None:
        few = config.successes + config.failures <= _EPISODES_OF_ONE_PROCESS
        workers = 1 if few else cores()
    recordings = collect(config, workers=workers, progress=report)
    write_dataset(root, recordings, fps=make_environment(config.environment).fps)


def read_demos(lab: Lab, root: Path | str) -> DemoSet:
    """Read a dataset through the frame cache, at the recipe's image size."""
    return read_dataset(
        root,
        replace(lab.reading, image_size=lab.recipe.image_size),
        progress=lambda done, total: lab.say(done, total, "decode"),
    )


@dataclass(frozen=True)
class Prepared:
    """A dataset that was read, and an experiment whose recipe is fitted to it."""

    lab: Lab
    demos: DemoSet
    folder: Path
    """Where the dataset is on this machine."""

    @property
    def overview(self) -> Overview:
        """What was chosen, to be shown before any work goes into it."""
        return Overview(self.demos, self.lab.recipe)


def fit(
    lab: Lab,
    demos: DemoSet,
    *,
    chunk: int | None = None,
    short_episodes: ShortEpisodes = "shorten",
) -> Lab:
    """The experiment with its recipe fitted to a dataset.

    Args:
        lab: the experiment.
        demos: the dataset.
        chunk: action steps predicted at once; chosen by itself when None.
        short_episodes: see `ShortEpisodes`.

    Raises:
        DatasetError: when an episode is too short for a chunk.
    """
    pad = short_episodes == "pad"
    look = lab.reading.cameras is not None
    recipe = adapt(lab.recipe, demos, look=look, chunk=chunk, pad=pad)
    if not pad:
        check_lengths(demos, recipe.policy.chunk)
    return replace(lab, recipe=recipe)


def check_both_outcomes(demos: DemoSet) -> None:
    """Refuse a dataset with nothing to compare.

    Raises:
        DatasetError: when there is no success or no failure.
    """
    check_success(demos)
    _check_present(demos, Outcome.FAILURE, "rank")


def check_success(demos: DemoSet) -> None:
    """Refuse a dataset without a success, whose PB a policy could follow.

    Raises:
        DatasetError: when there is none.
    """
    _check_present(demos, Outcome.SUCCESS, "learn from")


def _check_present(demos: DemoSet, outcome: Outcome, needed_for: str) -> None:
    if not demos.episodes(outcome):
        episodes = f"{len(demos)} episode{'s' * (len(demos) > 1)}"
        raise DatasetError(
            f"no {outcome.value} to {needed_for} among {episodes}",
            where=demos.name,
            remedy="add some, or correct the labels in episode_labels.json with 'outtakes label'",
        )


def check_lengths(demos: DemoSet, chunk: int) -> None:
    """Refuse episodes shorter than an action chunk.

    Raises:
        DatasetError: naming the shortest episode.
    """
    shortest = int(demos.lengths.argmin())
    length = int(demos.lengths[shortest])
    if length < chunk:
        raise DatasetError(
            f"{length} frames are fewer than an action chunk of {chunk}",
            where=f"{demos.name}, episode {demos.episode_indices[shortest]}",
            remedy=f"use --chunk {length} or less, or --short-episodes pad",
        )


def load_selection(path: Location, demos: DemoSet) -> Selection:
    """Read a selection and check that it is of this dataset.

    Raises:
        ArtifactError: when it is of another dataset.
    """
    selection = Selection.load(path)
    check_made_for(demos, selection, path)
    return selection


def load_scores(path: Location, demos: DemoSet) -> Scores:
    """Read scores and check that they are of this dataset.

    Raises:
        ArtifactError: when they are of another dataset.
    """
    scores = Scores.load(path)
    check_made_for(demos, scores, path)
    return scores


def check_made_for(demos: DemoSet, made: Selection | Scores, where: Location | None = None) -> None:
    """Refuse a selection or ranking of another dataset, or of this one read in another way.

    Raises:
        ArtifactError: when it is.
    """
    what = "selection" if isinstance(made, Selection) else "ranking"
    if made.content_hash != demos.content_hash:
        raise ArtifactError(
            f"the {what} was made for other data ({made.dataset})",
            where=where,
            remedy="select again from scores of this dataset, or give the labels and flags it was "
            "ranked with, --recipe included",
        )

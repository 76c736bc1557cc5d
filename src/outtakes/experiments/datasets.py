"""Datasets of experiments: collected, read, checked, and a recipe fitted to them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

from outtakes.data.demo import DemoSet, Outcome
from outtakes.data.lerobot.decode import See
from outtakes.data.lerobot.location import find_layout
from outtakes.data.lerobot.read import read_dataset
from outtakes.data.lerobot.write import write_dataset
from outtakes.errors import DatasetError
from outtakes.experiments.lab import Lab, cores
from outtakes.experiments.overview import Overview
from outtakes.experiments.recipes import adapt, chosen_eyes, frozen_eyes
from outtakes.policy.eyes.looking import looking_on
from outtakes.progress import Progress
from outtakes.sim.collect import CollectConfig, collect
from outtakes.sim.environment import make_environment

ShortEpisodes = Literal["shorten", "pad"]
"""For episodes shorter than a chunk: make the chunk shorter, or repeat their last action."""
_BOOKKEEPING = {"timestamp", "frame_index", "episode_index", "index", "task_index"}
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
    """Read a dataset through the frame cache, at the recipe's image size.

    Frozen eyes look on while it is decoded.
    """
    return read_dataset(
        root,
        replace(lab.reading, image_size=lab.recipe.image_size),
        progress=lambda done, total: lab.say(done, total, "decode"),
        watch=partial(_looking_on, lab),
    )


def _looking_on(
    lab: Lab, demos: DemoSet, cameras: Sequence[str], cache: Path, *, again: bool
) -> AbstractContextManager[See] | None:
    """The frozen eyes that the recipe will train with on these demonstrations, if any."""
    chosen = chosen_eyes(lab.recipe, demos, lab.device)
    eyes = frozen_eyes(lab.recipe, cameras, chosen) if cameras else None
    if eyes is None:
        return None
    return looking_on(eyes, cache, len(demos.action), lab.device, again=again)


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
        return Overview(self.demos, self.lab.recipe, self._unused())

    def _unused(self) -> list[str]:
        """The dataset's columns that nothing reads, without those of LeRobot's own bookkeeping."""
        vectors = {
            "observation.state": self.demos.state,
            "observation.environment_state": self.demos.environment_state,
            "action": self.demos.action,
        }
        read = {name for name, values in vectors.items() if values.shape[1]}
        layout = find_layout(self.folder)
        read |= {layout.cameras[camera] for camera in self.demos.images}
        read |= {source.partition(":")[0] for source in self.demos.provenance.outcome_sources}
        return sorted(set(layout.features) - read - _BOOKKEEPING)


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
        DatasetError: when an episode is too short for a chunk, or there is no camera to look
            through.
    """
    pad = short_episodes == "pad"
    look = lab.reading.cameras is not None
    recipe = adapt(lab.recipe, demos, look=look, chunk=chunk, pad=pad, device=lab.device)
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

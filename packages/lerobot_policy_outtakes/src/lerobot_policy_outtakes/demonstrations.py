"""The demonstrations of the dataset that a policy is trained on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lerobot_policy_outtakes.configuration_outtakes_act import OuttakesActConfig
from outtakes.data.lerobot.read import read_evidence
from outtakes.data.outcomes import find_outcomes
from outtakes.data.reading import Reading
from outtakes.errors import DatasetError

if TYPE_CHECKING:
    from lerobot.datasets import LeRobotDatasetMetadata


@dataclass(frozen=True)
class Demonstrations:
    """The episodes of a dataset that a policy is trained on."""

    meta: LeRobotDatasetMetadata
    episodes: np.ndarray
    """(N,) int64, strictly increasing."""
    lengths: np.ndarray
    """(N,) int64, frames of each."""
    successes: np.ndarray
    """(N,) bool."""

    def __len__(self) -> int:
        return len(self.episodes)

    @property
    def hash(self) -> str:
        """Equal for the same episodes with the same outcomes, wherever the dataset lies."""
        content = np.stack([self.episodes, self.lengths, self.successes]).astype(np.int64)
        return hashlib.blake2b(content.tobytes(), digest_size=16).hexdigest()

    def first_frames(self, episodes: Sequence[int]) -> Iterator[dict[str, Any]]:
        """The first frame of each of these episodes, read as LeRobot reads it to train on."""
        from lerobot.datasets import LeRobotDataset

        if not episodes:  # LeRobot cannot read none
            return
        meta, chosen = self.meta, sorted(episodes)
        assert meta.episodes is not None
        dataset = LeRobotDataset(
            meta.repo_id,
            root=meta.root,
            revision=meta.revision,
            episodes=chosen,
            video_backend="pyav",  # is there wherever LeRobot reads videos
        )
        place = dataset.absolute_to_relative_idx or {}
        for episode in episodes:
            row = int(meta.episodes["dataset_from_index"][episode])
            frame: Any = dataset[place.get(row, row)]
            yield frame


def find_demonstrations(meta: LeRobotDatasetMetadata, config: OuttakesActConfig) -> Demonstrations:
    """The demonstrations of a dataset, with outcomes from wherever it says so.

    Raises:
        DatasetError: when an episode has no outcome, or the dataset is damaged.
        UnknownName: when the source of outcomes that the config names is not there.
    """
    reading = Reading(outcome_from=config.outcome_from, labels=config.labels)
    evidence = read_evidence(Path(meta.root), reading)
    try:
        outcomes = find_outcomes(evidence, reading.source).successes
    except DatasetError as error:
        raise DatasetError(
            error.what,
            where=error.where,
            remedy="label episodes with 'outtakes label', or name a column with "
            "--policy.outcome_from",
        ) from error
    episodes = evidence.episode_indices
    successes = np.array([outcomes[episode] for episode in episodes.tolist()], dtype=bool)
    return Demonstrations(meta, episodes, np.diff(evidence.starts), successes)

"""Which demonstration each row of the PB table belongs to, and how it ended."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from lerobot_policy_outtakes.configuration_outtakes_act import OuttakesActConfig
from outtakes.data.lerobot import read_evidence
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


class Rows(nn.Module):
    """The rows of the PB table, as they are kept in the checkpoint.

    LeRobot does not tell a policy which episodes of the dataset it is trained on
    (`--dataset.episodes`); those that came up in a batch are.

    Args:
        count: N; 0 where nothing tells demonstrations apart, and all are one row.
    """

    def __init__(self, count: int) -> None:
        super().__init__()
        self.episodes: Tensor
        self.successes: Tensor
        self.seen: Tensor
        self.register_buffer("episodes", torch.zeros(count, dtype=torch.long))
        self.register_buffer("successes", torch.zeros(count, dtype=torch.bool))
        self.register_buffer("seen", torch.zeros(count, dtype=torch.bool))

    def assign(self, episodes: np.ndarray, successes: np.ndarray) -> None:
        """Say whose rows they are; (N,) each."""
        self.episodes.copy_(torch.from_numpy(episodes))
        self.successes.copy_(torch.from_numpy(successes))

    def find(self, episodes: Tensor) -> Tensor:
        """(B,) episode indices -> (B,) rows."""
        if not len(self.episodes):
            return torch.zeros_like(episodes)
        return torch.searchsorted(self.episodes, episodes)

    def ended_well(self, rows: Tensor) -> Tensor:
        """(B,) rows -> (B,) bool, whether they succeeded."""
        if not len(self.successes):
            return torch.ones_like(rows, dtype=torch.bool)
        return self.successes[rows]

    def see(self, rows: Tensor) -> None:
        """Remember that these demonstrations are trained on."""
        if len(self.seen):
            self.seen[rows] = True

    def others(self, rows: Tensor) -> Tensor | None:
        """(B,) rows of demonstrations at random that are trained on, of the other outcome than
        these; None while all that were seen ended alike."""
        candidates = self.seen & (self.successes != self.successes[rows][:, None])  # (B, N)
        if not bool(candidates.any(dim=1).all()):
            return None
        return torch.multinomial(candidates.float(), 1)[:, 0]

    def succeeded(self) -> Tensor:
        """(S,) rows of the successes that are trained on."""
        return (self.seen & self.successes).nonzero()[:, 0]

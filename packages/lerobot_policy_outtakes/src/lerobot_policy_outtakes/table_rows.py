"""What a checkpoint keeps of the demonstrations it was trained on, beside the PB table."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn


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


class StoredBank(nn.Module):
    """The successes to retrieve from, as they are kept in the checkpoint; their PBs are rows of
    the table.

    Args:
        count: S, successes.
        width: K, of their embeddings.
    """

    def __init__(self, count: int, width: int) -> None:
        super().__init__()
        self.rows: Tensor
        self.embeddings: Tensor
        self.register_buffer("rows", torch.zeros(count, dtype=torch.long))
        self.register_buffer("embeddings", torch.zeros(count, width))

    def fill(self, rows: Tensor, embeddings: Tensor) -> None:
        """Put other successes in place of those here; (S,) and (S, K)."""
        self.rows, self.embeddings = rows, embeddings

"""Choosing the PB at run time: the success that started most alike (paper, Sec. 3.3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from outtakes.errors import CheckpointError, UnknownName
from outtakes.shapes import Bool, Float, Int

STEERINGS = ("nearest", "mean", "zero", "mean-of-all")
"""Ways to choose the PB at run time; the paper's first."""


@dataclass(frozen=True)
class Bank:
    """First-observation embeddings and PBs of every success, as stored in the checkpoint.

    Raises:
        CheckpointError: when there is no success to retrieve.
    """

    embeddings: Float[Tensor, "S K"]
    biases: Float[Tensor, "S L P"]
    episodes: Int[Tensor, "S"]
    """Episode index of each success in its dataset."""
    tasks: Int[Tensor, "S"] | None = None
    """Task of each success; None when there is one."""

    def __post_init__(self) -> None:
        if len(self.embeddings) == 0:
            raise CheckpointError(
                "no success whose parametric bias could steer the policy",
                remedy="train on at least one success, or without parametric bias",
            )

    def nearest(
        self, embedding: Float[Tensor, "B K"], count: int = 1
    ) -> Int[Tensor, "B neighbours"]:
        """Rows of the successes with the greatest cosine similarity, nearest first.

        Args:
            embedding: of each query.
            count: how many for each; 0 or more than there are for all of them.
        """
        # First images of one scene differ by little: their cosines need all the digits there are,
        # which Apple's GPUs do not have.
        own = functional.normalize(self.embeddings.cpu().double(), dim=-1)
        asked = functional.normalize(embedding.cpu().double(), dim=-1)
        available = len(self.episodes)
        found = (asked @ own.transpose(0, 1)).topk(min(count, available) if count else available)
        return found.indices.to(embedding.device)

    def _of(self, chosen: Bool[Tensor, "S"]) -> Bank:
        return Bank(self.embeddings[chosen], self.biases[chosen], self.episodes[chosen])

    def steer(
        self, embedding: Float[Tensor, "B K"], steering: str, tasks: Int[Tensor, "B"] | None = None
    ) -> tuple[Float[Tensor, "B L P"], Int[Tensor, "B"]]:
        """The PB for each query, and the episode index of its nearest success, -1 with "zero".

        Args:
            embedding: of each query.
            tasks: of each query, where there are several: successes of other tasks are not looked
                at.
            steering: "nearest", the PB of the nearest success, as in the paper; "nearest-<n>", the
                mean over so many; "mean", over all; or "zero", no PB at all.

        Raises:
            CheckpointError: when there is no success of a task.
            UnknownName: when it is none of these.
        """
        if tasks is not None and self.tasks is not None:
            biases = self.biases.new_zeros(len(embedding), *self.biases.shape[1:])
            episodes = self.episodes.new_zeros(len(embedding))
            for task in tasks.unique():
                asked, own = tasks == task, self._of(self.tasks == task)
                biases[asked], episodes[asked] = own.steer(embedding[asked], steering)
            return biases, episodes
        if steering == "zero":
            biases = self.biases.new_zeros(len(embedding), *self.biases.shape[1:])
            return biases, torch.full_like(self.episodes[:1], -1).expand(len(embedding))
        rows = self.nearest(embedding, neighbours(steering))
        return self.biases[rows].mean(dim=1), self.episodes[rows[:, 0]]


def retrieval_camera(cameras: Sequence[str]) -> str:
    """The camera to retrieve by: the overhead one, else the first; "" without cameras."""
    return next((camera for camera in cameras if "overhead" in camera), next(iter(cameras), ""))


def neighbours(steering: str) -> int:
    """How many of the nearest successes' PBs "nearest", "nearest-<n>" or "mean" average.

    Returns:
        0 for all of them, or the number.

    Raises:
        UnknownName: when it is none of these.
    """
    if steering == "mean":
        return 0
    kind, _, count = steering.partition("-")
    if kind != "nearest" or not ((count.isdecimal() and int(count) > 0) or steering == "nearest"):
        raise UnknownName("steering", steering, (*STEERINGS, "nearest-<n>"))
    return int(count or 1)

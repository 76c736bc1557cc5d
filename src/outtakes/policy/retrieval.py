"""Choosing the PB at run time: the success that started most alike (paper, Sec. 3.3)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from outtakes.data.observation import Observation
from outtakes.errors import CheckpointError
from outtakes.policy.act import ActConfig, ActPolicy
from outtakes.shapes import Float, Int


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
    camera: str
    """Camera whose first image is embedded; "" when the low-dimensional state is."""

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
        # First images of one scene differ by little: their cosines need all the digits there are.
        own = functional.normalize(self.embeddings.double(), dim=-1)
        similarity = functional.normalize(embedding.double(), dim=-1) @ own.transpose(0, 1)
        available = len(self.episodes)
        return similarity.topk(min(count, available) if count else available).indices

    def steer(
        self, embedding: Float[Tensor, "B K"], count: int = 1
    ) -> tuple[Float[Tensor, "B L P"], Int[Tensor, "B"]]:
        """The PB for each query, and the episode index of its nearest success.

        Args:
            embedding: of each query.
            count: nearest successes whose PBs are averaged; 1 as in the paper, 0 for all.
        """
        rows = self.nearest(embedding, count)
        return self.biases[rows].mean(dim=1), self.episodes[rows[:, 0]]


def retrieval_camera(config: ActConfig) -> str:
    """The camera to retrieve by: the overhead one, else the first; "" without cameras."""
    cameras = config.cameras
    return next((camera for camera in cameras if "overhead" in camera), next(iter(cameras), ""))


@torch.no_grad()
def embed(policy: ActPolicy, observation: Observation, camera: str) -> Float[Tensor, "B K"]:
    """Embedding of first observations.

    Through a camera it is the mean feature of the policy's ResNet-18, which started from ImageNet
    weights where they were given. Without one it is the standardised low-dimensional state.
    """
    if camera and policy.backbone is not None:
        return policy.backbone.embed(observation.images[camera])
    return torch.cat([observation.state, observation.environment_state], dim=-1)

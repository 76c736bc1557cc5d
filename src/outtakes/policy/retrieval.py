"""Choosing the PB at run time: the success that started most alike (paper, Sec. 3.3)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from outtakes.policy.act import ActPolicy, Observation
from outtakes.shapes import Float, Int


@dataclass(frozen=True)
class Bank:
    """First-observation embeddings and PBs of every success, as stored in the checkpoint."""

    embeddings: Float[Tensor, "S K"]
    biases: Float[Tensor, "S L P"]
    episodes: Int[Tensor, "S"]
    """Episode index of each success in its dataset."""
    camera: str
    """Camera whose first image is embedded; "" when the low-dimensional state is."""

    def nearest(self, embedding: Float[Tensor, "B K"]) -> Int[Tensor, "B"]:
        """Row of the success with the greatest cosine similarity, for each query."""
        similarity = functional.normalize(embedding, dim=-1) @ functional.normalize(
            self.embeddings, dim=-1
        ).transpose(0, 1)
        return similarity.argmax(-1)


def retrieval_camera(policy: ActPolicy) -> str:
    """The camera to retrieve by: the overhead one, else the first; "" without cameras."""
    cameras = policy.config.cameras
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

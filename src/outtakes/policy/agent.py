"""A trained policy with everything it needs to act: normaliser and PB bank."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from outtakes.data.normalize import Moments, Normalizer
from outtakes.data.observation import Observation
from outtakes.errors import ConfigError
from outtakes.policy.act import ActPolicy
from outtakes.policy.retrieval import Bank, embed


@dataclass(frozen=True)
class Steering:
    """The PB each environment row follows for its whole episode."""

    bias: Tensor | None
    """(B, L, P); None when the policy has no PB."""
    episodes: np.ndarray
    """(B,) int64, episode index of the nearest success; -1 without PB."""


class Agent:
    """Acts in the units of the robot; needs no dataset.

    Args:
        policy: the trained policy.
        normalizer: moments of the data it was trained on.
        bank: PBs of the successes, or None for a policy without PB.
    """

    def __init__(self, policy: ActPolicy, normalizer: Normalizer, bank: Bank | None) -> None:
        self.policy = policy.eval()
        self.device = policy.action_positions.device
        self.normalizer = normalizer.to(self.device)
        self.bank = bank

    @property
    def chunk(self) -> int:
        """L, actions predicted at once."""
        return self.policy.config.chunk

    @property
    def cameras(self) -> tuple[str, ...]:
        """Cameras the policy must be given images of."""
        return self.policy.config.cameras

    def observation(self, raw: Mapping[str, np.ndarray]) -> Observation:
        """Standardise a batch of raw observations.

        Args:
            raw: LeRobot feature name -> (B, ...) array: `observation.state`,
                `observation.environment_state` and uint8 `observation.images.<camera>`.

        Raises:
            ConfigError: when a feature has another size than in the training data.
        """
        return Observation(
            self._vector(raw, "observation.state", self.normalizer.state),
            self._vector(raw, "observation.environment_state", self.normalizer.environment_state),
            {
                camera: torch.from_numpy(raw[f"observation.images.{camera}"]).to(self.device)
                for camera in self.cameras
            },
        )

    def _vector(self, raw: Mapping[str, np.ndarray], name: str, moments: Moments) -> Tensor:
        values = torch.from_numpy(np.asarray(raw[name], dtype=np.float32)).to(self.device)
        if values.shape[1:] != moments.mean.shape:
            raise ConfigError(
                f"{name} has {values.shape[1]} values, the policy was trained on "
                f"{len(moments.mean)}",
                remedy="act in the environment the training data come from",
            )
        return moments.standardise(values)

    @torch.no_grad()
    def begin(self, raw: Mapping[str, np.ndarray], neighbours: int = 1) -> Steering:
        """Choose each row's PB from its first observation (Sec. 3.3).

        Args:
            raw: first observations, as `observation` takes them.
            neighbours: nearest successes whose PBs are averaged; 1 as in the paper, 0 for all.
        """
        first = self.observation(raw)
        if self.bank is None:
            return Steering(None, np.full(len(first), -1, dtype=np.int64))
        embedding = embed(self.policy, first, self.bank.camera)
        bias, nearest = self.bank.steer(embedding, neighbours)
        return Steering(bias, nearest.cpu().numpy())

    @torch.no_grad()
    def predict(self, raw: Mapping[str, np.ndarray], steering: Steering) -> np.ndarray:
        """(B, L, A) float32 action chunks in the dataset's own units."""
        standardised = self.policy(self.observation(raw), steering.bias)
        return self.normalizer.action.restore(standardised).cpu().numpy()

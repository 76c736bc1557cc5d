"""A trained policy with everything it needs to act: normaliser and PB bank."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from outtakes.data.normalize import Normalizer
from outtakes.policy.act import ActPolicy, Observation
from outtakes.policy.retrieval import Bank, embed


@dataclass(frozen=True)
class Steering:
    """The PB each environment row follows for its whole episode."""

    bias: Tensor | None
    """(B, L, P); None when the policy has no PB."""
    episodes: np.ndarray
    """(B,) int64, episode index of the retrieved success; -1 without PB."""

    def rows(self, rows: np.ndarray) -> Steering:
        """The steering of some environment rows."""
        bias = None if self.bias is None else self.bias[torch.from_numpy(rows)]
        return Steering(bias, self.episodes[rows])


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
        """

        def vector(name: str) -> Tensor:
            return torch.from_numpy(np.asarray(raw[name], dtype=np.float32)).to(self.device)

        return Observation(
            self.normalizer.state.standardise(vector("observation.state")),
            self.normalizer.environment_state.standardise(vector("observation.environment_state")),
            {
                camera: torch.from_numpy(raw[f"observation.images.{camera}"]).to(self.device)
                for camera in self.cameras
            },
        )

    @torch.no_grad()
    def begin(self, raw: Mapping[str, np.ndarray]) -> Steering:
        """Choose each row's PB from its first observation (Sec. 3.3)."""
        first = self.observation(raw)
        if self.bank is None:
            return Steering(None, np.full(len(first), -1, dtype=np.int64))
        rows = self.bank.nearest(embed(self.policy, first, self.bank.camera))
        return Steering(self.bank.biases[rows], self.bank.episodes[rows].cpu().numpy())

    @torch.no_grad()
    def predict(self, raw: Mapping[str, np.ndarray], steering: Steering) -> np.ndarray:
        """(B, L, A) float32 action chunks in the dataset's own units."""
        standardised = self.policy(self.observation(raw), steering.bias)
        return self.normalizer.action.restore(standardised).cpu().numpy()

"""A trained policy with everything it needs to act in the units of the robot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from outtakes.data.batches import told_apart
from outtakes.data.demo import TASK
from outtakes.data.normalize import Moments, Normalizer
from outtakes.data.observation import Observation
from outtakes.errors import ConfigError
from outtakes.policy.eyes.network import check_pictures
from outtakes.policy.eyes.sight import Gaze, Sight
from outtakes.policy.policy import Policy, Steering


class Agent:
    """Acts in the units of the robot; needs no dataset.

    Args:
        policy: the trained policy.
        normalizer: moments of the data it was trained on.
        sight: its frozen eyes; None when it has none.
        tasks: those that it is told apart; none when empty.
    """

    def __init__(
        self,
        policy: Policy,
        normalizer: Normalizer,
        sight: Sight | None = None,
        tasks: Sequence[str] = (),
    ) -> None:
        self.policy = policy.eval()
        self.device = policy.device
        self.normalizer = normalizer.to(self.device)
        self.gaze = None if sight is None else Gaze(sight, self.device)
        self.tasks = tuple(tasks)

    @property
    def chunk(self) -> int:
        """L, actions predicted at once."""
        return self.policy.config.chunk

    @property
    def cameras(self) -> tuple[str, ...]:
        """Cameras the policy, or its frozen eyes, must be given images of."""
        return self.policy.config.views

    @property
    def image_size(self) -> int | None:
        """Pixels on a side of the pictures its frozen eyes were fitted to; None without."""
        return None if self.gaze is None else self.gaze.sight.eyes.image_size

    def look(self, raw: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """The same raw observations after its frozen eyes have looked, once for all that follows.

        Without frozen eyes they stay as they are.
        """
        return raw if self.gaze is None else self.gaze.look(raw)

    def observation(self, raw: Mapping[str, np.ndarray]) -> Observation:
        """Standardise a batch of raw observations.

        Args:
            raw: LeRobot feature name -> (B, ...) array: `observation.state`,
                `observation.environment_state` and uint8 `observation.images.<camera>`, or what
                `look` makes of it; and `task`, texts, where it is told several apart.

        Raises:
            CheckpointError: when the weights of its eyes that can be had are others.
            ConfigError: when a feature is missing, or has another size than in the training data,
                or a task is none of those it was trained on.
        """
        task = self._task(raw) if self.tasks else None
        state = self._vector(raw, "observation.state", self.normalizer.state)
        images = {camera: self._image(raw, camera) for camera in self.policy.config.cameras}
        moments = self.normalizer.environment_state
        if self.gaze is None:
            seen = self._vector(raw, "observation.environment_state", moments)
            return Observation(state, seen, images, task=task)
        features, sight = self.gaze.features(raw), self.gaze.sight
        seen = moments.standardise(sight.vector(features))
        return Observation(state, seen, images, sight.cells(features), task)

    def _task(self, raw: Mapping[str, np.ndarray]) -> Tensor:
        told = np.asarray(raw.get(TASK, np.full(len(raw["observation.state"]), ""))).tolist()
        if unknown := set(told).difference(self.tasks):
            raise ConfigError(
                f"the task {min(unknown)!r} is none that the policy was trained on",
                remedy=f"ask for one of {', '.join(map(repr, self.tasks))}",
            )
        rows = np.stack([told_apart(task, self.tasks) for task in told])
        return torch.from_numpy(rows).to(self.device)

    def _image(self, raw: Mapping[str, np.ndarray], camera: str) -> Tensor:
        name = f"observation.images.{camera}"
        if name not in raw:
            raise ConfigError(
                f"no {name}, which the policy was trained with",
                remedy="give the pictures of its cameras",
            )
        check_pictures(raw[name], name)
        return torch.from_numpy(raw[name]).to(self.device)

    def _vector(self, raw: Mapping[str, np.ndarray], name: str, moments: Moments) -> Tensor:
        given = np.asarray(raw[name], dtype=np.float32)
        # What a policy was trained without, it is not given.
        given = given if len(moments.mean) else given[:, :0]
        values = torch.from_numpy(given).to(self.device)
        if values.shape[1:] != moments.mean.shape:
            raise ConfigError(
                f"{name} has {values.shape[1]} values, the policy was trained on "
                f"{len(moments.mean)}",
                remedy="act in the environment the training data come from",
            )
        return moments.standardise(values)

    @torch.no_grad()
    def begin(self, raw: Mapping[str, np.ndarray], steering: str = "") -> Steering:
        """Choose what steers each row's episode from its first observation.

        Args:
            raw: first observations, as `observation` takes them.
            steering: one of its config's `steerings`; the default when "".

        Raises:
            UnknownName: when the policy knows no such steering.
        """
        return self.policy.begin(self.observation(raw), steering)

    @torch.no_grad()
    def predict(
        self,
        raw: Mapping[str, np.ndarray],
        steering: Steering,
        generator: torch.Generator | None = None,
    ) -> np.ndarray:
        """(B, L, A) float32 action chunks in the dataset's own units.

        Args:
            raw: observations, as `observation` takes them.
            steering: of each row's episode.
            generator: source of noise, on the CPU; torch's own when None.
        """
        standardised = self.policy.act(self.observation(raw), steering, generator)
        return self.normalizer.action.restore(standardised).cpu().numpy()

    @torch.no_grad()
    def errors(
        self, raw: Mapping[str, np.ndarray], action: np.ndarray, steering: Steering
    ) -> np.ndarray:
        """(B, L, A) how far off the policy is chunks (B, L, A), in the dataset's own units."""
        moments = self.normalizer.action
        target = moments.standardise(torch.from_numpy(action).to(self.device))
        error = self.policy.errors(self.observation(raw), target, steering)
        return (error * moments.deviation).cpu().numpy()

"""What `--env.type=outtakes` takes."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any

import gymnasium as gym
from lerobot.configs import FeatureType, PolicyFeature
from lerobot.envs.configs import EnvConfig
from lerobot.envs.utils import freeze_after_episode_end
from lerobot.utils.constants import ACTION, OBS_ENV_STATE, OBS_IMAGES, OBS_STATE

from lerobot_env_outtakes.simulated_task import SimulatedTask


@EnvConfig.register_subclass("outtakes")
@dataclass
class OuttakesEnvConfig(EnvConfig):
    """A simulated task of Outtakes.

    Raises:
        UnknownName: on an unknown task or camera.
        ConfigError: on an episode length or image size below 1.
    """

    task: str | None = "lift"
    """Name of the task, as `outtakes collect` takes it."""
    fps: int = 20
    """Frames a second; always the task's own."""
    episode_length: int | None = None
    """Control steps after which an episode counts as failed; the task's own when not given."""
    cameras: list[str] | None = None
    """Cameras the policy is given images of; all of the task's when not given, none when empty."""
    image_size: int = 224
    """Height and width of those images; as in the data the policy was trained on."""
    video_size: int = 224
    """Height and width of the videos of rollouts, seen through the task's first camera."""
    features: dict[str, PolicyFeature] = field(default_factory=dict)
    features_map: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        task = SimulatedTask(**self.gym_kwargs)
        self.fps = task.metadata["render_fps"]
        self.cameras = list(task.cameras)
        image = (self.image_size, self.image_size, 3)
        images = [f"{OBS_IMAGES}.{camera}" for camera in task.cameras]
        self.features = {
            ACTION: PolicyFeature(FeatureType.ACTION, task.action_space.shape or ()),
            "agent_pos": PolicyFeature(FeatureType.STATE, (task.sizes["agent_pos"],)),
            "environment_state": PolicyFeature(FeatureType.ENV, (task.sizes["environment_state"],)),
            **dict.fromkeys(images, PolicyFeature(FeatureType.VISUAL, image)),
        }
        self.features_map = {
            ACTION: ACTION,
            "agent_pos": OBS_STATE,
            "environment_state": OBS_ENV_STATE,
            **{name: name for name in images},
        }
        task.close()

    @property
    def gym_kwargs(self) -> dict[str, Any]:
        """What each environment is made of."""
        return {
            "task": self.task,
            "episode_length": self.episode_length,
            "cameras": self.cameras,
            "image_size": self.image_size,
            "video_size": self.video_size,
        }

    def create_envs(
        self, n_envs: int, use_async_envs: bool = False
    ) -> dict[str, dict[int, gym.vector.VectorEnv]]:
        """So many environments side by side, in processes of their own if asked for.

        One whose episode is over stands still until all are.
        """
        make = freeze_after_episode_end(partial(SimulatedTask, **self.gym_kwargs))
        if use_async_envs and n_envs > 1:
            vector = gym.vector.AsyncVectorEnv([make] * n_envs, context="forkserver")
        else:
            vector = gym.vector.SyncVectorEnv([make] * n_envs)
        return {self.type: {0: vector}}

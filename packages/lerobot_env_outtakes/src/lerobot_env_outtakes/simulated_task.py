"""A simulated task of Outtakes as a gymnasium environment with the observations LeRobot expects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Dict

from outtakes.errors import ConfigError, UnknownName
from outtakes.sim.environment import make_environment
from outtakes.sim.initial_states import InitialStates, Stream

_STATES = InitialStates(Stream.EVALUATE, seed=0)
"""Those of `outtakes evaluate`."""


class SimulatedTask(gym.Env[dict[str, Any], np.ndarray]):
    """One task, solved or failed after so many steps.

    Observations are `agent_pos` (S,) and `environment_state` (E,), float32, and `pixels`, camera ->
    (height, width, 3) uint8. The reward is 1 at the step that solves the task, else 0;
    `info["is_success"]` says the same.

    Args:
        task: name of the task.
        episode_length: control steps after which an episode counts as failed; the task's own when
            None.
        cameras: cameras to observe through; all when None.
        image_size: height and width of their images.
        video_size: height and width of what `render` draws.

    Raises:
        UnknownName: on an unknown task or camera.
        ConfigError: on an episode length or image size below 1.
    """

    def __init__(
        self,
        task: str,
        episode_length: int | None = None,
        cameras: Sequence[str] | None = None,
        image_size: int = 224,
        video_size: int = 224,
    ) -> None:
        if min(image_size, video_size) < 1:
            raise ConfigError(
                f"images of {min(image_size, video_size)} pixels", remedy="choose at least 1"
            )
        self._simulation = make_environment(task, horizon=episode_length)
        self.task, self.task_description = task, self._simulation.task
        self.cameras = tuple(self._simulation.cameras if cameras is None else cameras)
        for camera in self.cameras:
            if camera not in self._simulation.cameras:
                raise UnknownName("camera", camera, self._simulation.cameras)
        self.image_size, self.video_size = image_size, video_size
        self.render_mode = "rgb_array"
        self.metadata = {"render_modes": ["rgb_array"], "render_fps": self._simulation.fps}
        self._max_episode_steps = self._simulation.horizon
        self._steps = 0
        self.action_space = Box(-1.0, 1.0, (self._simulation.action_size,), np.float32)
        self._simulation.reset(_STATES.at(self._simulation, 0))
        numbers = self._simulation.observe()
        self.sizes = {name: len(numbers[feature]) for name, feature in _NUMBERS.items()}
        self.observation_space = self._space()

    def _space(self) -> Dict:
        image = Box(0, 255, (self.image_size, self.image_size, 3), np.uint8)
        spaces: dict[str, gym.Space[Any]] = {
            name: Box(-np.inf, np.inf, (size,), np.float32) for name, size in self.sizes.items()
        }
        if self.cameras:
            spaces["pixels"] = Dict({camera: image for camera in self.cameras})
        return Dict(spaces)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Begin an episode. Seed n is the initial state that `outtakes evaluate` calls n."""
        super().reset(seed=seed)
        index = int(self.np_random.integers(2**31)) if seed is None else seed
        self._simulation.reset(_STATES.at(self._simulation, index))
        self._steps = 0
        return self._observe(), {"is_success": False}

    def step(self, action: np.ndarray) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Apply one (A,) action for 1/fps seconds."""
        solved = self._simulation.step(action)
        self._steps += 1
        over = self._steps >= self._max_episode_steps
        return self._observe(), float(solved), solved, over, {"is_success": solved}

    def render(self) -> np.ndarray:
        """(video_size, video_size, 3) uint8 image through the task's first camera."""
        size = self.video_size
        return self._simulation.render(self._simulation.cameras[0], size, size)

    def close(self) -> None:
        """Free the simulator."""
        self._simulation.close()

    def _observe(self) -> dict[str, Any]:
        numbers, size = self._simulation.observe(), self.image_size
        observation: dict[str, Any] = {name: numbers[f] for name, f in _NUMBERS.items()}
        if self.cameras:
            render = self._simulation.render
            observation["pixels"] = {c: render(c, size, size) for c in self.cameras}
        return observation


_NUMBERS = {
    "agent_pos": "observation.state",
    "environment_state": "observation.environment_state",
}
"""LeRobot's name in an environment -> in a dataset."""

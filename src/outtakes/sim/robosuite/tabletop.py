"""What robosuite's tasks with one Panda arm share: state, observation, stepping and pictures.

robosuite builds the scene; stepping, resetting and rendering are ours, over one compiled model
that all environments of a task share in a process.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import mujoco
import numpy as np

from outtakes.errors import ConfigError, UnknownName
from outtakes.sim.operators.demonstrator import Demonstrator
from outtakes.sim.robosuite.control_law import ARM_JOINTS
from outtakes.sim.robosuite.osc import ACTION_SIZE, OperationalSpaceController
from outtakes.sim.robosuite.scenes import CAMERAS, FPS, SceneSource, load_renderer, load_scene

# Rotation of the grip site when the gripper points straight down, palm as at the start.
_DOWNWARD = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, -1.0]])


def rotation_vector(rotation: np.ndarray) -> np.ndarray:
    """Rotation away from the gripper's downward-pointing pose.

    Args:
        rotation: (3, 3) of the grip site.

    Returns:
        (3,) axis times angle in rad, about the axes of the robot base, as in actions. It jumps
        only half a turn away from pointing downward.
    """
    quaternion, vector = np.empty(4), np.empty(3)
    mujoco.mju_mat2Quat(quaternion, (rotation @ _DOWNWARD.T).ravel())
    mujoco.mju_quat2Vel(vector, quaternion, 1.0)
    return vector


def about_vertical(angle: float) -> np.ndarray:
    """Quaternion (4,), w first, of a turn about the vertical by so many rad."""
    return np.array([np.cos(angle / 2), 0.0, 0.0, np.sin(angle / 2)])


class TabletopTask(ABC):
    """One Panda arm and some objects.

    The initial state is a flat vector: 7 arm angles in rad, 2 finger positions in m, then the
    positions of the objects' joints in the model's order: of a free body its position in m and
    quaternion (w first), of a hinge its angle in rad; then position and quaternion of each
    `standing` body. Actions are (7,) in [-1, 1]:
    translation (1 is 5 cm) and rotation (1 is 0.5 rad) of the gripper, in the axes of the robot
    base, then the gripper (> 0 closes, < 0 opens).

    Observation:
        `observation.state` (14,): 7 joint angles (rad), gripper position (m), `rotation_vector`
        of the gripper (rad), gripper opening (m, 0 to 0.08).
        `observation.environment_state` (E,): as the task says.

    Args:
        horizon: control steps after which a rollout counts as failed; `own_horizon` when None.

    Raises:
        ConfigError: when the horizon is not positive.
    """

    name: str
    task: str
    own_horizon: ClassVar[int]
    """Control steps after which a rollout counts as failed, when not given."""
    source: ClassVar[SceneSource]
    """robosuite's scene."""
    standing: ClassVar[tuple[str, ...]] = ()
    """Bodies that stand elsewhere in each episode but do not move: mocap bodies of the model."""
    fps: int = FPS
    action_size: int = ACTION_SIZE
    cameras: tuple[str, ...] = tuple(CAMERAS)

    def __init__(self, horizon: int | None = None) -> None:
        if horizon is not None and horizon < 1:
            raise ConfigError(f"horizon {horizon}", remedy="give at least 1 control step")
        self.horizon = self.own_horizon if horizon is None else horizon
        self._scene = load_scene(self.source)
        self._model = self._scene.model
        self._standing = [int(self._model.body(name).mocapid[0]) for name in self.standing]
        self._data = mujoco.MjData(self._model)
        self._controller = OperationalSpaceController(self._model, self._data, self._scene.panda)

    @abstractmethod
    def sample_initial_state(self, rng: np.random.Generator) -> np.ndarray:
        """Draw an initial state that `reset` takes."""

    @abstractmethod
    def demonstrator(self, rng: np.random.Generator, mistake_rate: float) -> Demonstrator:
        """A scripted operator at random, who makes a mistake with the given probability."""

    @abstractmethod
    def describe(self, features: Mapping[str, np.ndarray]) -> dict[str, float]:
        """Facts of an episode worth keeping beside it, by name."""

    @abstractmethod
    def _observe_objects(self) -> np.ndarray:
        """`observation.environment_state`, (E,)."""

    @abstractmethod
    def _solved(self) -> bool:
        """Whether robosuite's own check holds."""

    def _sample_arm(self, rng: np.random.Generator) -> np.ndarray:
        """Arm near its home, fingers half open; (9,)."""
        scene = self._scene
        noise = rng.normal(0.0, scene.joint_noise, ARM_JOINTS)
        return np.concatenate([scene.home[:ARM_JOINTS] + noise, scene.home[ARM_JOINTS:]])

    def reset(self, initial_state: np.ndarray) -> None:
        """Put arm and objects where the state says, at rest; nothing of the past remains.

        Raises:
            ConfigError: when the state does not fit the model.
        """
        size = self._model.nq + 7 * len(self._standing)
        if np.shape(initial_state) != (size,):
            raise ConfigError(
                f"initial state of shape {np.shape(initial_state)}",
                remedy=f"give ({size},), as sample_initial_state does",
            )
        # Clears velocities, controls, time and the solver's warm start.
        mujoco.mj_resetData(self._model, self._data)
        self._data.qpos[:] = initial_state[: self._model.nq]
        standing = initial_state[self._model.nq :].reshape(-1, 7)
        self._data.mocap_pos[self._standing] = standing[:, :3]
        self._data.mocap_quat[self._standing] = standing[:, 3:]
        mujoco.mj_forward(self._model, self._data)
        self._controller.reset()

    def observe(self) -> dict[str, np.ndarray]:
        """Low-dimensional observation, float32: `observation.state` (14,) and
        `observation.environment_state` (E,)."""
        data = self._data
        turn = rotation_vector(data.site_xmat[self._scene.panda.grip_site].reshape(3, 3))
        opening = data.qpos[ARM_JOINTS] - data.qpos[ARM_JOINTS + 1]
        state = [data.qpos[:ARM_JOINTS], self._hand(), turn, [opening]]
        return {
            "observation.state": np.concatenate(state).astype(np.float32),
            "observation.environment_state": self._observe_objects().astype(np.float32),
        }

    def _hand(self) -> np.ndarray:
        """Position of the gripper, (3,) m; a view."""
        return self._data.site_xpos[self._scene.panda.grip_site]

    def _pose(self, body: int) -> np.ndarray:
        """Position in m and quaternion (w >= 0, first) of a body, (7,)."""
        quaternion = self._data.xquat[body]
        if quaternion[0] < 0:
            quaternion = -quaternion
        return np.concatenate([self._data.xpos[body], quaternion])

    def step(self, action: np.ndarray) -> bool:
        """Apply one (7,) action for 50 ms; True when the task is then solved.

        Raises:
            ConfigError: when the action is not 7 finite numbers.
        """
        action = np.asarray(action, np.float64)
        if action.shape != (ACTION_SIZE,) or not np.isfinite(action).all():
            raise ConfigError(f"action {action}", remedy=f"give {ACTION_SIZE} finite numbers")
        self._controller.step(action)
        # robosuite looks at the bodies as they were before the last 2 ms of integration; so do we,
        # to call the very same steps solved.
        solved = self._solved()
        mujoco.mj_kinematics(self._model, self._data)
        return solved

    def render(self, camera: str, height: int, width: int) -> np.ndarray:
        """(height, width, 3) uint8 image of the present state.

        Raises:
            UnknownName: when there is no such camera.
            MachineError: when OpenGL does not work on this machine.
        """
        if camera not in CAMERAS:
            raise UnknownName("camera", camera, CAMERAS)
        data = self._data
        return load_renderer(self.source).render(
            data.qpos, CAMERAS[camera], height, width, data.mocap_pos, data.mocap_quat
        )

    def close(self) -> None:
        """Let go of this simulation; the model and the renderers are shared and stay."""
        del self._controller, self._data

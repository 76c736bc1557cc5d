"""The Lift task of robosuite: a Panda arm raises a red cube from a table.

robosuite builds the scene; stepping, resetting and rendering are ours, over one compiled model
that all `Lift`s of a process share. Set-up as in arXiv 2605.07560, section 4.1.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import mujoco
import numpy as np

from outtakes.errors import ConfigError, UnknownName
from outtakes.sim.control_law import ARM_JOINTS
from outtakes.sim.lift_operator import LiftOperator
from outtakes.sim.osc import ACTION_SIZE, OperationalSpaceController, PandaIndices
from outtakes.sim.rendering import Renderer

if TYPE_CHECKING:
    from robosuite.environments.manipulation.lift import Lift as RobosuiteLift

CUBE_HALF_EDGE = 0.021
"""m; robosuite draws it from [0.020, 0.022] whenever it builds the scene, we take the middle."""
CUBE_RANGE = (0.1, 0.2)
"""m; the cube starts at |x| and |y| up to these, seen from the middle of the table."""
SUCCESS_HEIGHT = 0.04
"""m of the cube's centre above the table top, as in robosuite."""

_HORIZON = 150
_CAMERAS = {"overhead": "overhead", "wrist": "robot0_eye_in_hand"}
_OVERHEAD = {
    "name": "overhead",
    "mode": "fixed",
    "pos": "0.365 0 1.5",
    "xyaxes": "0 1 0 -0.84 0 0.543",
    "fovy": "42",
}
# Rotation of the grip site when the gripper points straight down, palm as at the start.
_DOWNWARD = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, -1.0]])


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep robosuite's start-up chatter and its choice of OpenGL to itself."""
    before = os.environ.get("MUJOCO_GL")
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logging.disable(logging.NOTSET)
        os.environ.pop("MUJOCO_GL", None)
        if before is not None:
            os.environ["MUJOCO_GL"] = before


def build_robosuite_lift(image_size: int | None = None) -> RobosuiteLift:
    """robosuite's own Lift on exactly our scene: the slow twin of `Lift`.

    Args:
        image_size: pixels on a side of the images of both cameras that every step then renders;
            None to render none.
    """
    with _quiet():
        from robosuite.environments.manipulation.lift import Lift as RobosuiteLift

        class OuttakesLift(RobosuiteLift):
            def _load_model(self) -> None:
                super()._load_model()
                _adapt_scene(self.model.worldbody)

        return OuttakesLift(
            robots="Panda",
            use_camera_obs=image_size is not None,
            has_offscreen_renderer=image_size is not None,
            camera_names=list(_CAMERAS.values()),  # pyright: ignore[reportArgumentType]
            camera_heights=image_size or 1,
            camera_widths=image_size or 1,
            control_freq=Lift.fps,
            ignore_done=True,
            hard_reset=False,
        )


def _adapt_scene(world: ElementTree.Element) -> None:
    """Fix the size of the cube and hang a camera over the table."""
    for geom in world.iter("geom"):
        if geom.get("name") in ("cube_g0", "cube_g0_vis"):
            geom.set("size", " ".join([str(CUBE_HALF_EDGE)] * 3))
    ElementTree.SubElement(world, "camera", _OVERHEAD)


@dataclass(frozen=True)
class _Scene:
    """What all `Lift`s of a process share."""

    model: mujoco.MjModel
    panda: PandaIndices
    cube: int
    """Body of the cube, whose free joint is the last of the model."""
    table_height: float
    """m, of the table top."""
    home: np.ndarray
    """(9,) joint angles of the arm in rad and finger positions in m."""
    joint_noise: float
    """Standard deviation of the arm's joint angles at the start, rad."""


@cache
def _load_scene() -> _Scene:
    environment = build_robosuite_lift()
    model = environment.sim.model._model  # pyright: ignore[reportOptionalMemberAccess]
    robot = environment.robots[0]
    fingers = [f"gripper0_right_gripper_finger_joint{i}" for i in (1, 2)]
    return _Scene(
        model=model,
        panda=PandaIndices(
            grip_site=model.site("gripper0_right_grip_site").id,
            finger_actuators=(model.actuator(fingers[0]).id, model.actuator(fingers[1]).id),
        ),
        cube=model.body("cube_main").id,
        table_height=float(environment.model.mujoco_arena.table_offset[2]),
        home=np.concatenate([robot.init_qpos, robot.gripper["right"].init_qpos]),
        joint_noise=float(robot.initialization_noise["magnitude"]),
    )


@cache
def _load_renderer(height: int, width: int) -> Renderer:
    return Renderer(_load_scene().model, height, width)


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


class Lift:
    """One Panda arm, one table, one cube; solved when the cube is 4 cm above the table.

    The initial state is the (16,) vector of joint positions: 7 arm angles in rad, 2 finger
    positions in m, cube position in m and quaternion (w first). Actions are (7,) in [-1, 1]:
    translation (1 is 5 cm) and rotation (1 is 0.5 rad) of the gripper, in the axes of the robot
    base, then the gripper (> 0 closes, < 0 opens).

    Observation:
        `observation.state` (14,): 7 joint angles (rad), gripper position (m), `rotation_vector`
        of the gripper (rad), gripper opening (m, 0 to 0.08).
        `observation.environment_state` (7,): cube position (m), cube quaternion (w >= 0, first).

    Args:
        horizon: control steps after which a rollout counts as failed; 150 when None.

    Raises:
        ConfigError: when the horizon is not positive.
    """

    name = "lift"
    task = "lift the red cube"
    fps = 20
    cameras = tuple(_CAMERAS)

    def __init__(self, horizon: int | None = None) -> None:
        if horizon is not None and horizon < 1:
            raise ConfigError(f"horizon {horizon}", remedy="give at least 1 control step")
        self.horizon = _HORIZON if horizon is None else horizon
        self._scene = _load_scene()
        self._model = self._scene.model
        self._data = mujoco.MjData(self._model)
        self._controller = OperationalSpaceController(self._model, self._data, self._scene.panda)

    def sample_initial_state(self, rng: np.random.Generator) -> np.ndarray:
        """Arm near its home, cube at rest anywhere in its range and at any yaw; (16,)."""
        scene = self._scene
        noise = rng.normal(0.0, scene.joint_noise, ARM_JOINTS)
        x, y = rng.uniform(-1.0, 1.0, 2) * CUBE_RANGE
        half_yaw = rng.uniform(0.0, np.pi)
        arm = scene.home[:ARM_JOINTS] + noise
        cube = [x, y, scene.table_height + CUBE_HALF_EDGE]
        quaternion = [np.cos(half_yaw), 0.0, 0.0, np.sin(half_yaw)]
        return np.concatenate([arm, scene.home[ARM_JOINTS:], cube, quaternion])

    def reset(self, initial_state: np.ndarray) -> None:
        """Put arm and cube where the state says, at rest; nothing of the past remains.

        Raises:
            ConfigError: when the state does not fit the model.
        """
        if np.shape(initial_state) != (self._model.nq,):
            raise ConfigError(
                f"initial state of shape {np.shape(initial_state)}",
                remedy=f"give ({self._model.nq},), as sample_initial_state does",
            )
        # Clears velocities, controls, time and the solver's warm start.
        mujoco.mj_resetData(self._model, self._data)
        self._data.qpos[:] = initial_state
        mujoco.mj_forward(self._model, self._data)
        self._controller.reset()

    def observe(self) -> dict[str, np.ndarray]:
        """Low-dimensional observation, float32: `observation.state` (14,) and
        `observation.environment_state` (7,)."""
        data, site = self._data, self._scene.panda.grip_site
        gripper, cube = data.site_xpos[site], data.xpos[self._scene.cube]
        turn = rotation_vector(data.site_xmat[site].reshape(3, 3))
        opening = data.qpos[ARM_JOINTS] - data.qpos[ARM_JOINTS + 1]
        quaternion = data.xquat[self._scene.cube]
        if quaternion[0] < 0:
            quaternion = -quaternion
        state = [data.qpos[:ARM_JOINTS], gripper, turn, [opening]]
        environment_state = [cube, quaternion]
        return {
            "observation.state": np.concatenate(state).astype(np.float32),
            "observation.environment_state": np.concatenate(environment_state).astype(np.float32),
        }

    def step(self, action: np.ndarray) -> bool:
        """Apply one (7,) action for 50 ms; True when the cube is then 4 cm above the table.

        Raises:
            ConfigError: when the action is not 7 finite numbers.
        """
        action = np.asarray(action, np.float64)
        if action.shape != (ACTION_SIZE,) or not np.isfinite(action).all():
            raise ConfigError(f"action {action}", remedy=f"give {ACTION_SIZE} finite numbers")
        self._controller.step(action)
        # robosuite looks at the cube as it was before the last 2 ms of integration; so do we,
        # to call the very same steps solved.
        height = self._data.xpos[self._scene.cube, 2] - self._scene.table_height
        mujoco.mj_kinematics(self._model, self._data)
        return bool(height > SUCCESS_HEIGHT)

    def render(self, camera: str, height: int, width: int) -> np.ndarray:
        """(height, width, 3) uint8 image of the present state.

        Raises:
            UnknownName: when there is no such camera.
            MachineError: when OpenGL does not work on this machine.
        """
        if camera not in _CAMERAS:
            raise UnknownName("camera", camera, _CAMERAS)
        return _load_renderer(height, width).render(self._data.qpos, _CAMERAS[camera])

    def demonstrator(self, rng: np.random.Generator, mistake_rate: float) -> LiftOperator:
        """A scripted operator at random, who makes a mistake with the given probability."""
        return LiftOperator.draw(rng, mistake_rate)

    def describe(self, features: Mapping[str, np.ndarray]) -> dict[str, float]:
        """Where the cube was at the start, `cube_x` and `cube_y`, and `height_lifted`; all m."""
        cube = features["observation.environment_state"][:, :3]
        return {
            "cube_x": float(cube[0, 0]),
            "cube_y": float(cube[0, 1]),
            "height_lifted": float(cube[:, 2].max() - cube[0, 2]),
        }

    def close(self) -> None:
        """Let go of this simulation; the model and the renderers are shared and stay."""
        del self._controller, self._data

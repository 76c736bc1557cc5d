"""Observations and pictures of simulator states that a file stores."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import mujoco
import numpy as np

from outtakes.errors import DatasetError, UnknownName
from outtakes.sim.rendering import Renderer
from outtakes.sim.robosuite.model_file import load_model

_GRIP_SITE = re.compile(r"gripper(\d+)_(?:(right|left)_)?grip_site")
_GRIPPER_JOINT = re.compile(r"gripper(\d+)_(?:(right|left)_)?")
_ARM_JOINT = re.compile(r"robot\d+_")
_MOUNT_JOINT = re.compile(r"(fixed_mount|mount|mobilebase)\d+_")
_WIDTHS = {mujoco.mjtJoint.mjJNT_FREE: 7, mujoco.mjtJoint.mjJNT_BALL: 4}
"""Numbers that the position of a joint takes; one where not listed."""


class Replay:
    """One stored scene, put into stored states. robosuite stores (T, 1 + nq + nv) numbers: time,
    joint positions and velocities.

    Args:
        xml: MuJoCo's XML of the scene.
        where: the demonstration it belongs to, for messages.

    Raises:
        DatasetError: when the scene cannot be built here.
    """

    def __init__(self, xml: str, where: str) -> None:
        self._model = load_model(xml, where)
        self._data = mujoco.MjData(self._model)
        self._where = where
        self._renderer: Renderer | None = None
        self._hands = list(_find_hands(self._model))
        self._addresses = _find_joints(self._model, self._hands)

    def observe(self, states: np.ndarray) -> dict[str, np.ndarray]:
        """What robosuite observes in these states, under robosuite's names.

        Args:
            states: (T, 1 + nq + nv), as stored.

        Returns:
            `robot<i>_joint_pos` in rad; for each hand `robot<i>_eef_pos` in m, `_eef_quat`
            (x, y, z, w) and `_gripper_qpos`, with `right_` or `left_` before them where a robot
            has two; and `object`, the positions of all other joints in the model's order: of a
            free body its position in m and its quaternion, w first. Each (T, d) float32.

        Raises:
            DatasetError: when the states do not fit the scene.
        """
        positions = self._positions(states)
        observed = {name: positions[:, places] for name, places in self._addresses.items()}
        for hand in self._hands:
            observed[f"{hand.prefix}eef_pos"] = np.empty((len(states), 3))
            observed[f"{hand.prefix}eef_quat"] = np.empty((len(states), 4))
        for t, qpos in enumerate(positions):
            self._data.qpos[:] = qpos
            mujoco.mj_kinematics(self._model, self._data)
            for hand in self._hands:
                observed[f"{hand.prefix}eef_pos"][t] = self._data.site_xpos[hand.site]
                observed[f"{hand.prefix}eef_quat"][t] = np.roll(self._data.xquat[hand.body], -1)
        return {name: values.astype(np.float32) for name, values in observed.items()}

    def film(self, states: np.ndarray, camera: str, size: int) -> np.ndarray:
        """(T, size, size, 3) uint8 pictures of these states.

        Raises:
            DatasetError: when the states do not fit the scene.
            MachineError: when OpenGL does not work on this machine.
            UnknownName: when the scene has no such camera.
        """
        if camera not in self.cameras:
            raise UnknownName("camera", camera, self.cameras)
        if self._renderer is None:
            self._renderer = Renderer(self._model)
        pictures = np.empty((len(states), size, size, 3), np.uint8)
        for t, qpos in enumerate(self._positions(states)):
            pictures[t] = self._renderer.render(qpos, camera, size, size)
        return pictures

    @property
    def cameras(self) -> list[str]:
        """Names of the scene's cameras."""
        return [self._model.camera(i).name for i in range(self._model.ncam)]

    def close(self) -> None:
        """Free the OpenGL context, if there is one."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None

    def _positions(self, states: np.ndarray) -> np.ndarray:
        """(T, nq) joint positions."""
        width = 1 + self._model.nq + self._model.nv
        if states.ndim != 2 or states.shape[1] != width:
            raise DatasetError(
                f"states of shape {states.shape}, the scene has {width} numbers a state",
                where=self._where,
                remedy="leave the demonstration out with --skip-bad",
            )
        return states[:, 1 : 1 + self._model.nq]


@dataclass(frozen=True)
class _Hand:
    """The end of an arm."""

    robot: str
    """Number of the robot."""
    arm: str
    site: int
    """Index of the site between the fingers."""
    body: int
    """Index of the body whose rotation robosuite observes."""
    alone: bool
    """Whether the robot has no other."""

    @property
    def prefix(self) -> str:
        """What robosuite puts before the hand's observations."""
        return f"robot{self.robot}_" if self.alone else f"robot{self.robot}_{self.arm}_"


def _find_hands(model: mujoco.MjModel) -> Iterator[_Hand]:
    bodies = {model.body(i).name: i for i in range(model.nbody)}
    sites = [(i, _GRIP_SITE.fullmatch(model.site(i).name)) for i in range(model.nsite)]
    hands = [(i, match[1], match[2] or "right") for i, match in sites if match is not None]
    for site, robot, arm in hands:
        body = bodies.get(f"robot{robot}_{arm}_hand", int(model.site_bodyid[site]))
        yield _Hand(robot, arm, site, body, alone=[r for _, r, _ in hands].count(robot) == 1)


def _find_joints(model: mujoco.MjModel, hands: Sequence[_Hand]) -> dict[str, list[int]]:
    """Observation -> where in the joint positions it is found."""
    prefixes = {(hand.robot, hand.arm): hand.prefix for hand in hands}
    places: dict[str, list[int]] = {}
    for i in range(model.njnt):
        name = model.joint(i).name
        if match := _ARM_JOINT.match(name):
            key = f"{match[0]}joint_pos"
        elif match := _GRIPPER_JOINT.match(name):
            robot, arm = match[1], match[2] or "right"
            key = f"{prefixes.get((robot, arm), f'robot{robot}_')}gripper_qpos"
        elif _MOUNT_JOINT.match(name):
            continue
        else:
            key = "object"
        start = int(model.jnt_qposadr[i])
        width = _WIDTHS.get(mujoco.mjtJoint(model.jnt_type[i]), 1)
        places.setdefault(key, []).extend(range(start, start + width))
    return places

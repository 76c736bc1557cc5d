"""Operational space control of the Panda arm, on raw MuJoCo.

Steps a simulation exactly as robosuite 1.5 does with its default controller, several times as
fast; `control_law` has the equations.
"""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np

from outtakes.sim.robosuite.control_law import ARM_JOINTS, goal_pose, joint_torques

ACTION_SIZE = 7
"""Translation (3), rotation (3), gripper (1)."""

_SUBSTEPS = 25
_GRIPPER_SPEED = 0.2


@dataclass(frozen=True)
class PandaIndices:
    """Where the Panda stands in the model's arrays; its arm joints come first."""

    grip_site: int
    """Site between the finger tips."""
    finger_actuators: tuple[int, int]
    """Actuators of the two fingers, which open in opposite directions."""


class OperationalSpaceController:
    """Steps one `MjData` under actions of (7,) in [-1, 1].

    Args:
        model: model whose first seven joints and actuators are the arm.
        data: what is stepped, in place.
        panda: indices of the robot's parts.
    """

    def __init__(self, model: mujoco.MjModel, data: mujoco.MjData, panda: PandaIndices) -> None:
        self._model, self._data = model, data
        self._site = panda.grip_site
        self._position = data.site_xpos[self._site]
        self._rotation = data.site_xmat[self._site].reshape(3, 3)
        self._jacobian = np.zeros((6, model.nv))
        self._arm_jacobian = self._jacobian[:, :ARM_JOINTS]
        self._mass = np.zeros((model.nv, model.nv))
        self._arm_mass = self._mass[:ARM_JOINTS, :ARM_JOINTS]
        self._joints, self._velocities = data.qpos[:ARM_JOINTS], data.qvel[:ARM_JOINTS]
        self._bias = data.qfrc_bias[:ARM_JOINTS]
        self._limit = model.actuator_ctrlrange[:ARM_JOINTS, 1].copy()
        self._fingers = list(panda.finger_actuators)
        self._finger_low, self._finger_high = model.actuator_ctrlrange[self._fingers].T.copy()
        self.reset()

    def reset(self) -> None:
        """Forget everything: the present joints become the ones to pull back to."""
        self._initial_joints = self._joints.copy()
        self._grip = np.zeros(2)

    def step(self, action: np.ndarray) -> None:
        """Hold one action for 25 physics steps of 2 ms."""
        action = np.clip(action, -1.0, 1.0)
        model, data = self._model, self._data
        mujoco.mj_step1(model, data)
        goal_position, goal_rotation = goal_pose(self._position, self._rotation, action)
        data.ctrl[self._fingers] = self._finger_targets(action[6])
        for substep in range(_SUBSTEPS):
            if substep:
                mujoco.mj_step1(model, data)
            data.ctrl[:ARM_JOINTS] = self._torques(goal_position, goal_rotation)
            mujoco.mj_step2(model, data)

    def _finger_targets(self, command: float) -> np.ndarray:
        """Move both fingers' targets by one notch towards closed (command > 0) or open."""
        notch = _GRIPPER_SPEED * np.sign(command)
        self._grip = np.clip(self._grip + np.array([-notch, notch]), -1.0, 1.0)
        middle = (self._finger_high + self._finger_low) / 2
        return middle + (self._finger_high - self._finger_low) / 2 * self._grip

    def _torques(self, goal_position: np.ndarray, goal_rotation: np.ndarray) -> np.ndarray:
        model, data = self._model, self._data
        mujoco.mj_jacSite(model, data, self._jacobian[:3], self._jacobian[3:], self._site)
        mujoco.mj_fullM(model, self._mass, data.qM)
        return joint_torques(
            self._position,
            self._rotation,
            goal_position,
            goal_rotation,
            self._arm_jacobian,
            self._arm_mass,
            self._joints,
            self._velocities,
            self._initial_joints,
            self._bias,
            self._limit,
        )

"""The control law's pieces against NumPy and SciPy."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from outtakes.sim.robosuite import control_law


def random_arm(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(7, 7))
    return root @ root.T + np.eye(7), rng.normal(size=(6, 7))


def test_goal_is_a_delta_from_the_present_pose():
    present = Rotation.from_euler("xyz", [3.0, 0.1, 1.5]).as_matrix()
    action = np.array([1.0, -0.5, 0.0, 0.2, -1.0, 0.6, 1.0])
    position, rotation = control_law.goal_pose(np.array([0.1, 0.2, 0.9]), present, action)
    np.testing.assert_allclose(position, [0.15, 0.175, 0.9])
    turn = Rotation.from_rotvec(0.5 * action[3:6]).as_matrix()
    np.testing.assert_allclose(rotation, turn @ present, atol=1e-6)


def test_no_action_keeps_the_pose():
    position, rotation = control_law.goal_pose(np.ones(3), np.eye(3), np.zeros(7))
    np.testing.assert_array_equal(position, np.ones(3))
    np.testing.assert_array_equal(rotation, np.eye(3))


def torques(mass: np.ndarray, jacobian: np.ndarray, **changes: np.ndarray) -> np.ndarray:
    arguments = {
        "position": np.zeros(3),
        "rotation": np.eye(3),
        "goal_position": np.zeros(3),
        "goal_rotation": np.eye(3),
        "jacobian": jacobian,
        "mass": mass,
        "joints": np.zeros(7),
        "velocities": np.zeros(7),
        "initial_joints": np.zeros(7),
        "bias": np.zeros(7),
        "limit": np.full(7, 1e6),
    }
    return control_law.joint_torques(*(arguments | changes).values())


def test_torques_follow_khatibs_equation():
    mass, jacobian = random_arm(0)
    rng = np.random.default_rng(1)
    goal, joints, velocities, bias = (rng.normal(size=n) for n in (3, 7, 7, 7))
    turn = Rotation.from_rotvec([0.1, -0.2, 0.05]).as_matrix()
    inverse = jacobian @ np.linalg.inv(mass) @ jacobian.T
    kd = 2 * np.sqrt(150)
    error = 0.5 * np.cross(np.eye(3), turn, axisa=0, axisb=0).sum(0)
    force = 150 * goal - kd * jacobian[:3] @ velocities
    moment = 150 * error - kd * jacobian[3:] @ velocities
    wrench = np.concatenate(
        [np.linalg.pinv(inverse[:3, :3]) @ force, np.linalg.pinv(inverse[3:, 3:]) @ moment]
    )
    jbar = np.linalg.inv(mass) @ jacobian.T @ np.linalg.pinv(inverse)
    pull = mass @ (-10 * joints - 2 * np.sqrt(10) * velocities)
    expected = jacobian.T @ wrench + (np.eye(7) - jbar @ jacobian).T @ pull + bias
    found = torques(
        mass,
        jacobian,
        goal_position=goal,
        goal_rotation=turn,
        joints=joints,
        velocities=velocities,
        bias=bias,
    )
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-8)


def test_null_space_pull_does_not_accelerate_the_gripper():
    mass, jacobian = random_arm(2)
    found = torques(mass, jacobian, initial_joints=np.linspace(-1, 1, 7))
    assert np.abs(found).max() > 1
    np.testing.assert_allclose(jacobian @ np.linalg.solve(mass, found), 0, atol=1e-9)


def test_torques_stay_finite_and_within_limits_at_a_singular_pose():
    mass, jacobian = random_arm(3)
    jacobian[2] = jacobian[1]
    limit = np.linspace(1, 80, 7)
    found = torques(mass, jacobian, goal_position=np.ones(3), limit=limit)
    assert np.isfinite(found).all()
    assert (np.abs(found) <= limit).all()

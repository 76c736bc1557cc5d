"""The law of operational space control, compiled.

The control law is that of robosuite 1.5 (`OSC_POSE` deltas relative to the achieved pose, fixed
gains, position and orientation uncoupled, and a gripper that opens and closes at a fixed rate),
after Khatib (1987), "A unified approach for motion and force control of robot manipulators". What
is ours is the arithmetic: three Cholesky solves in compiled code instead of inverses and
pseudo-inverses in Python, which makes a control step several times as fast.

With x = kp_0 (q_0 - q) - kd_0 q' the pull back to the initial joints, M the mass matrix, J the
Jacobian of the grip site and A = J M^-1 J^T, the joint torques are

    tau = J^T ([A_pos^-1 f, A_ori^-1 m] - A^-1 J x) + M x + bias

where f and m are spring-damper wrenches towards the goal pose. (The null-space projection of M x
is M x - J^T A^-1 J x, because J M^-1 M x = J x.)
"""

from __future__ import annotations

import numpy as np
from numba import njit

ARM_JOINTS = 7

_METRES_PER_UNIT = 0.05
_RADIANS_PER_UNIT = 0.5
_STIFFNESS = 150.0
_NULL_STIFFNESS = 10.0
_SMALLEST_PIVOT = 1e-12


@njit(cache=True)
def goal_pose(
    position: np.ndarray, rotation: np.ndarray, action: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Goal that an action asks for, relative to where the grip site now is.

    Args:
        position: (3,) m.
        rotation: (3, 3).
        action: (7,) of [-1, 1]; translation along and rotation about the axes of the robot base.

    Returns:
        Goal position (3,) in m and goal rotation (3, 3).
    """
    vector = _RADIANS_PER_UNIT * action[3:6]
    angle = np.sqrt(np.dot(vector, vector))
    quaternion = np.zeros(4)  # w, x, y, z
    quaternion[0] = np.cos(angle / 2)
    if angle > 0:
        quaternion[1:] = vector / angle * np.sin(angle / 2)
    # robosuite squares the quaternion in single precision; so must we, to land where it lands.
    single = quaternion.astype(np.float32)
    single *= np.sqrt(2.0 / np.dot(single, single))
    square = np.outer(single, single)
    turn = np.empty((3, 3))
    for i in range(3):
        j, k = (i + 1) % 3, (i + 2) % 3
        turn[i, i] = 1.0 - square[j + 1, j + 1] - square[k + 1, k + 1]
        turn[i, j] = square[i + 1, j + 1] - square[k + 1, 0]
        turn[j, i] = square[i + 1, j + 1] + square[k + 1, 0]
    return position + _METRES_PER_UNIT * action[:3], turn @ rotation


@njit(cache=True)
def _cholesky(matrix: np.ndarray) -> np.ndarray:
    n = matrix.shape[0]
    lower = np.zeros((n, n))
    for i in range(n):
        for j in range(i + 1):
            total = matrix[i, j]
            for k in range(j):
                total -= lower[i, k] * lower[j, k]
            # The floor keeps torques finite (then clipped) where the arm is stretched out.
            if i == j:
                lower[i, i] = np.sqrt(max(total, _SMALLEST_PIVOT))
            else:
                lower[i, j] = total / lower[j, j]
    return lower


@njit(cache=True)
def _forward_substitute(lower: np.ndarray, right: np.ndarray) -> np.ndarray:
    n = lower.shape[0]
    solution = np.empty(n)
    for i in range(n):
        total = right[i]
        for k in range(i):
            total -= lower[i, k] * solution[k]
        solution[i] = total / lower[i, i]
    return solution


@njit(cache=True)
def _solve(matrix: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Solve for a symmetric positive definite matrix."""
    lower = _cholesky(matrix)
    half = _forward_substitute(lower, right)
    n = len(half)
    for i in range(n - 1, -1, -1):
        for k in range(i + 1, n):
            half[i] -= lower[k, i] * half[k]
        half[i] /= lower[i, i]
    return half


@njit(cache=True)
def _inverse_inertia(mass: np.ndarray, jacobian: np.ndarray) -> np.ndarray:
    """A = J M^-1 J^T, (6, 6)."""
    lower = _cholesky(mass)
    half = np.empty((6, ARM_JOINTS))
    for row in range(6):
        half[row] = _forward_substitute(lower, jacobian[row])
    inverse = np.empty((6, 6))
    for i in range(6):
        for j in range(i + 1):
            total = 0.0
            for k in range(ARM_JOINTS):
                total += half[i, k] * half[j, k]
            inverse[i, j] = total
            inverse[j, i] = total
    return inverse


@njit(cache=True)
def _orientation_error(goal: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    """Half the sum of the cross products of the axes: sin(angle) times the axis, (3,)."""
    error = np.zeros(3)
    for axis in range(3):
        for i in range(3):
            j, k = (i + 1) % 3, (i + 2) % 3
            error[i] += 0.5 * (
                rotation[j, axis] * goal[k, axis] - rotation[k, axis] * goal[j, axis]
            )
    return error


@njit(cache=True)
def _multiply(matrix: np.ndarray, vector: np.ndarray) -> np.ndarray:
    product = np.zeros(matrix.shape[0])
    for i in range(matrix.shape[0]):
        for j in range(matrix.shape[1]):
            product[i] += matrix[i, j] * vector[j]
    return product


@njit(cache=True)
def joint_torques(
    position: np.ndarray,
    rotation: np.ndarray,
    goal_position: np.ndarray,
    goal_rotation: np.ndarray,
    jacobian: np.ndarray,
    mass: np.ndarray,
    joints: np.ndarray,
    velocities: np.ndarray,
    initial_joints: np.ndarray,
    bias: np.ndarray,
    limit: np.ndarray,
) -> np.ndarray:
    """Torques that drive the grip site to the goal pose (the equation above).

    Args:
        position: (3,) of the grip site, m.
        rotation: (3, 3) of the grip site.
        goal_position: (3,) m.
        goal_rotation: (3, 3).
        jacobian: (6, 7), translation over rotation.
        mass: (7, 7) joint-space inertia, kg m^2.
        joints: (7,) rad.
        velocities: (7,) rad/s.
        initial_joints: (7,) rad, where the null-space task pulls to.
        bias: (7,) gravity and Coriolis torques, N m.
        limit: (7,) largest torque of either sign, N m.

    Returns:
        (7,) N m.
    """
    twist = _multiply(jacobian, velocities)
    damping = 2 * np.sqrt(_STIFFNESS)
    force = _STIFFNESS * (goal_position - position) - damping * twist[:3]
    moment = _STIFFNESS * _orientation_error(goal_rotation, rotation) - damping * twist[3:]
    pull = _NULL_STIFFNESS * (initial_joints - joints) - 2 * np.sqrt(_NULL_STIFFNESS) * velocities

    inverse = _inverse_inertia(mass, jacobian)
    wrench = -_solve(inverse, _multiply(jacobian, pull))
    wrench[:3] += _solve(inverse[:3, :3], force)
    wrench[3:] += _solve(inverse[3:, 3:], moment)
    torques = _multiply(jacobian.T, wrench) + _multiply(mass, pull) + bias
    return np.minimum(np.maximum(torques, -limit), limit)

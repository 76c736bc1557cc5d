"""The NutAssemblySquare task of robosuite: a square nut is to be put over a square peg."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from outtakes.sim.operators.demonstrator import Demonstrator
from outtakes.sim.operators.mistake import MistakeKind
from outtakes.sim.operators.pick_and_place import MISTAKES, Errand
from outtakes.sim.operators.waypoints import View
from outtakes.sim.robosuite.pick_place_can import LET_GO_OF
from outtakes.sim.robosuite.scenes import RobosuiteEnvironment, SceneSource, keep_objects
from outtakes.sim.robosuite.tabletop import TabletopTask, about_vertical

PEG = np.array([0.23, 0.1])
"""m; the square peg's place on the table."""
PEG_TOP = 0.95
"""m."""
START = np.array([[-0.115, -0.11], [0.11, 0.225]])
"""m; from and to where the nut starts along x, then along y."""
NEAR_PEG = 0.03
"""m along x and y within which the nut counts as on the peg."""
LOW = 0.05
"""m above the table top below which the nut counts as on the peg."""
NUT_HALF_HEIGHT = 0.01
_GRASP = 0.064
"""m from the nut's centre to where its handle is grasped; nearer, the fingers hit its frame."""


def _keep_the_square_nut(environment: RobosuiteEnvironment) -> None:
    """Take the round nut out of the scene: robosuite drops it beside the table."""
    environment.nuts = environment.nuts[:1]
    keep_objects(environment, ("SquareNut",))
    del environment.placement_initializer.samplers["RoundNutSampler"]


def _yaw(view: View) -> float:
    """Direction in which the nut's handle points, rad."""
    w, x, y, z = view.objects[3:7]
    return float(np.arctan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z)))


def _handle(view: View) -> np.ndarray:
    yaw = _yaw(view)
    return view.objects[:3] + _GRASP * np.array([np.cos(yaw), np.sin(yaw), 0.0])


def _over_peg(view: View) -> np.ndarray:
    """Where the handle must be for the nut to be over the peg."""
    yaw = _yaw(view)
    return np.array([*(PEG + _GRASP * np.array([np.cos(yaw), np.sin(yaw)])), PEG_TOP - 0.03])


def _across_handle(view: View, start: View) -> np.ndarray:
    """The hand's turn that closes the fingers across the handle: the nearest of two."""
    yaw = _yaw(view)
    half_turns = np.round((yaw - view.turn[2]) / np.pi)
    return np.array([0.0, 0.0, yaw - half_turns * np.pi])


def _square_to_peg(view: View, start: View) -> np.ndarray:
    """The hand's turn that brings the nut square to the peg, its handle within reach."""
    turn = view.turn[2]
    # As the handle lies in the hand, so it will point when the hand is back at no turn.
    unturned = _yaw(view) - turn
    away = np.cos(unturned) > 0
    # A handle that would point away from the robot is turned sideways instead.
    wanted = np.copysign(np.pi / 2, turn) if away else np.pi
    return np.array([0.0, 0.0, (wanted - unturned + np.pi) % (2 * np.pi) - np.pi])


ERRAND = Errand(
    grasp=_handle,
    place=_over_peg,
    carry_height=0.08,
    raise_height=0.17,
    placing_sd=0.002,
    roughness=0.5,
    grasp_turn=_across_handle,
    carry_turn=_square_to_peg,
    near_place=0.005,
    settle=6,
    mistakes={
        **MISTAKES,
        "off_centre": MistakeKind(0.04),
        "misplace": MistakeKind(0.05),
        "drop_early": MistakeKind(0.2),
        "give_up": MistakeKind(0.2),
    },
)
"""What the operator is about."""


class NutAssemblySquare(TabletopTask):
    """One nut with a handle and one peg; solved when the nut is around the peg, low, and the
    gripper 4.2 cm away from its centre.

    `observation.environment_state` (7,): position (m) and quaternion (w >= 0, first) of the nut.
    """

    name = "nut-assembly-square"
    task = "put the square nut over the square peg"
    own_horizon = 220
    source = SceneSource(
        module="nut_assembly",
        environment="NutAssemblySquare",
        overhead={"pos": "0.55 0.05 1.6", "xyaxes": "0 1 0 -0.84 0 0.543", "fovy": "42"},
        adapt=_keep_the_square_nut,
    )

    def __init__(self, horizon: int | None = None) -> None:
        super().__init__(horizon)
        self._nut = self._model.body("SquareNut_main").id

    def sample_initial_state(self, rng: np.random.Generator) -> np.ndarray:
        """Arm near its home, nut at rest anywhere in its range and at any yaw; (16,)."""
        arm = self._sample_arm(rng)
        x, y = rng.uniform(*START.T)
        z = self._scene.table_height + NUT_HALF_HEIGHT
        return np.concatenate([arm, [x, y, z], about_vertical(rng.uniform(0.0, 2 * np.pi))])

    def demonstrator(self, rng: np.random.Generator, mistake_rate: float) -> Demonstrator:
        """A scripted operator at random, who makes a mistake with the given probability."""
        return ERRAND.draw_operator(rng, mistake_rate)

    def describe(self, features: Mapping[str, np.ndarray]) -> dict[str, float]:
        """Where the nut was at the start, `nut_x` and `nut_y`, how far it rose, `height_lifted`,
        and how near it came to the peg's axis, `nearest`; all m."""
        nut = features["observation.environment_state"][:, :3].astype(np.float64)
        return {
            "nut_x": float(nut[0, 0]),
            "nut_y": float(nut[0, 1]),
            "height_lifted": float(nut[:, 2].max() - nut[0, 2]),
            "nearest": float(np.linalg.norm(nut[:, :2] - PEG, axis=1).min()),
        }

    def _observe_objects(self) -> np.ndarray:
        return self._pose(self._nut)

    def _solved(self) -> bool:
        nut = self._data.xpos[self._nut]
        around = (np.abs(nut[:2] - PEG) < NEAR_PEG).all()
        low = nut[2] < self._scene.table_height + LOW
        return bool(around and low and np.linalg.norm(self._hand() - nut) > LET_GO_OF)

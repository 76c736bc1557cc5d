"""The PickPlaceCan task of robosuite: a can is to be taken from one bin to another."""

from __future__ import annotations

from collections.abc import Mapping
from types import MethodType

import numpy as np

from outtakes.sim.operators.demonstrator import Demonstrator
from outtakes.sim.operators.mistake import MistakeKind
from outtakes.sim.operators.pick_and_place import MISTAKES, Errand
from outtakes.sim.operators.waypoints import View
from outtakes.sim.robosuite.scenes import RobosuiteEnvironment, SceneSource, keep_objects
from outtakes.sim.robosuite.tabletop import TabletopTask, about_vertical

CAN_HEIGHT = 0.06
"""m of the can's middle above the middle of the bins' floor, standing."""
START = np.array([[-0.01, 0.21], [-0.41, -0.09]])
"""m; from and to where the can starts along x, then along y: the middle of the first bin."""
GOAL = np.array([[0.1, 0.295], [0.28, 0.525], [0.8, 0.9]])
"""m; from and to where its centre must be along x, y and z: the can's quarter of the second bin."""
LET_GO_OF = float(np.arctanh(0.4)) / 10
"""m from the gripper to the can from where robosuite calls the can let go of."""
_CAN = 3


def _keep_the_can(environment: RobosuiteEnvironment) -> None:
    """Take milk, bread and cereal out of the scene: robosuite drops them beside it."""
    environment.objects, environment.visual_objects = (
        things[_CAN:] for things in (environment.objects, environment.visual_objects)
    )
    environment.object_id = 0
    keep_objects(environment, ("Can", "VisualCan"))
    samplers = environment.placement_initializer.samplers
    for name in ("Milk", "Bread", "Cereal"):
        del samplers[f"Visual{name}ObjectSampler"]
    samplers["CollisionObjectSampler"].mujoco_objects = environment.objects
    whole = type(environment).not_in_bin
    # The can is robosuite's fourth object, and goes into the fourth quarter of the bin.
    environment.not_in_bin = MethodType(lambda self, pos, _: whole(self, pos, _CAN), environment)


def _can(view: View) -> np.ndarray:
    return view.objects[:3] + [0.0, 0.0, 0.01]


def _quarter(view: View) -> np.ndarray:
    # Short of the middle, which is at the end of the arm's reach.
    return np.array([0.155, 0.36, 0.92])


ERRAND = Errand(
    grasp=_can,
    place=_quarter,
    carry_height=0.08,
    raise_height=0.16,
    placing_sd=0.015,
    near_place=0.024,
    mistakes={
        **MISTAKES,
        "misplace": MistakeKind(0.25),
        "drop_early": MistakeKind(0.4),
        "give_up": MistakeKind(0.4),
    },
)
"""What the operator is about."""


class PickPlaceCan(TabletopTask):
    """One can and two bins; solved when the can lies in its quarter of the second bin and the
    gripper is 4.2 cm away from it.

    `observation.environment_state` (7,): position (m) and quaternion (w >= 0, first) of the can.
    """

    name = "pick-place-can"
    task = "put the can into its quarter of the dark bin"
    own_horizon = 240
    source = SceneSource(
        module="pick_place",
        environment="PickPlaceCan",
        overhead={"pos": "0.6 0.03 1.75", "xyaxes": "0 1 0 -0.84 0 0.543", "fovy": "52"},
        adapt=_keep_the_can,
    )

    def __init__(self, horizon: int | None = None) -> None:
        super().__init__(horizon)
        self._can = self._model.body("Can_main").id

    def sample_initial_state(self, rng: np.random.Generator) -> np.ndarray:
        """Arm near its home, can upright anywhere in its range and at any yaw; (16,)."""
        arm = self._sample_arm(rng)
        x, y = rng.uniform(*START.T)
        z = self._scene.table_height + CAN_HEIGHT
        return np.concatenate([arm, [x, y, z], about_vertical(rng.uniform(0.0, 2 * np.pi))])

    def demonstrator(self, rng: np.random.Generator, mistake_rate: float) -> Demonstrator:
        """A scripted operator at random, who makes a mistake with the given probability."""
        return ERRAND.draw_operator(rng, mistake_rate)

    def describe(self, features: Mapping[str, np.ndarray]) -> dict[str, float]:
        """Where the can was at the start, `can_x` and `can_y`, how far it rose, `height_lifted`,
        and how near it came to the middle of its goal in the plane, `nearest`; all m."""
        can = features["observation.environment_state"][:, :3].astype(np.float64)
        away = can[:, :2] - GOAL[:2].mean(axis=1)
        return {
            "can_x": float(can[0, 0]),
            "can_y": float(can[0, 1]),
            "height_lifted": float(can[:, 2].max() - can[0, 2]),
            "nearest": float(np.linalg.norm(away, axis=1).min()),
        }

    def _observe_objects(self) -> np.ndarray:
        return self._pose(self._can)

    def _solved(self) -> bool:
        can = self._data.xpos[self._can]
        inside = (GOAL[:, 0] < can).all() and (can < GOAL[:, 1]).all()
        return bool(inside and np.linalg.norm(self._hand() - can) > LET_GO_OF)

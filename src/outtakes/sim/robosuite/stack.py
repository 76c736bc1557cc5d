"""The Stack task of robosuite: a red cube is to be put on a green one."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from outtakes.sim.operators.demonstrator import Demonstrator
from outtakes.sim.operators.pick_and_place import Errand
from outtakes.sim.operators.waypoints import View
from outtakes.sim.robosuite.scenes import SceneSource, leave_as_it_is
from outtakes.sim.robosuite.tabletop import TabletopTask, about_vertical

HALF_EDGES = (0.02, 0.025)
"""m, of the red cube and of the green one."""
RANGE = 0.08
"""m; both start at |x| and |y| up to this, seen from the middle of the table, apart."""
LIFTED = 0.04
"""m of the red cube's centre above the table top, as in robosuite."""
_RADII = tuple(2**0.5 * half for half in HALF_EDGES)


def _red(view: View) -> np.ndarray:
    return view.objects[:3]


def _on_green(view: View) -> np.ndarray:
    return view.objects[7:10] + [0.0, 0.0, sum(HALF_EDGES) + 0.004]


ERRAND = Errand(grasp=_red, place=_on_green, carry_height=0.05, raise_height=0.08)
"""What the operator is about."""


class Stack(TabletopTask):
    """Two cubes; solved when the red one, let go of, touches the green one, its centre more than
    4 cm above the table.

    `observation.environment_state` (14,): position (m) and quaternion (w >= 0, first) of the red
    cube, then of the green one.
    """

    name = "stack"
    task = "put the red cube on the green cube"
    own_horizon = 160
    source = SceneSource(
        module="stack",
        environment="Stack",
        overhead={"pos": "0.365 0 1.5", "xyaxes": "0 1 0 -0.84 0 0.543", "fovy": "38"},
        adapt=leave_as_it_is,
    )

    def __init__(self, horizon: int | None = None) -> None:
        super().__init__(horizon)
        model = self._model
        self._red, self._green = (model.body(f"cube{letter}_main").id for letter in "AB")
        self._fingers = [self._geoms_of(f"gripper0_right_finger{i}_") for i in (1, 2)]

    def _geoms_of(self, prefix: str) -> frozenset[int]:
        """Collision geometry whose name starts so."""
        names = ((i, self._model.geom(i).name) for i in range(self._model.ngeom))
        return frozenset(i for i, n in names if n.startswith(prefix) and n.endswith("collision"))

    def sample_initial_state(self, rng: np.random.Generator) -> np.ndarray:
        """Arm near its home, cubes at rest anywhere in their range, apart and at any yaw; (23,)."""
        arm = self._sample_arm(rng)
        while True:
            places = rng.uniform(-RANGE, RANGE, (2, 2))
            if np.linalg.norm(places[0] - places[1]) > sum(_RADII):
                break
        heights = self._scene.table_height + np.array(HALF_EDGES)
        yaws = rng.uniform(0.0, 2 * np.pi, 2)
        poses = zip(places, heights, yaws, strict=True)
        cubes = [np.concatenate([xy, [z], about_vertical(yaw)]) for xy, z, yaw in poses]
        return np.concatenate([arm, *cubes])

    def demonstrator(self, rng: np.random.Generator, mistake_rate: float) -> Demonstrator:
        """A scripted operator at random, who makes a mistake with the given probability."""
        return ERRAND.draw_operator(rng, mistake_rate)

    def describe(self, features: Mapping[str, np.ndarray]) -> dict[str, float]:
        """Where the red cube was at the start, `cube_x` and `cube_y`, how far it rose,
        `height_lifted`, and how near it came to its place, `nearest`; all m."""
        objects = features["observation.environment_state"].astype(np.float64)
        red, place = objects[:, :3], objects[:, 7:10] + [0.0, 0.0, sum(HALF_EDGES)]
        return {
            "cube_x": float(red[0, 0]),
            "cube_y": float(red[0, 1]),
            "height_lifted": float(red[:, 2].max() - red[0, 2]),
            "nearest": float(np.linalg.norm(red - place, axis=1).min()),
        }

    def _observe_objects(self) -> np.ndarray:
        return np.concatenate([self._pose(self._red), self._pose(self._green)])

    def _solved(self) -> bool:
        lifted = self._data.xpos[self._red, 2] > self._scene.table_height + LIFTED
        if not lifted:
            return False
        touching = self._touching_red()
        grasped = all(touching & fingers for fingers in self._fingers)
        green = self._model.body_geomadr[self._green]
        greens = range(green, green + self._model.body_geomnum[self._green])
        return not grasped and not touching.isdisjoint(greens)

    def _touching_red(self) -> frozenset[int]:
        """Geometry that is in contact with the red cube."""
        owner, red = self._model.geom_bodyid, self._red
        pairs = self._data.contact.geom
        touching = [pair for pair in pairs.tolist() if red in (owner[pair[0]], owner[pair[1]])]
        return frozenset(geom for pair in touching for geom in pair if owner[geom] != red)

"""The Lift task of robosuite: a Panda arm raises a red cube from a table.

Set-up as in arXiv 2605.07560, section 4.1.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from outtakes.sim.operators.lifting import LiftOperator
from outtakes.sim.robosuite.scenes import RobosuiteEnvironment, SceneSource, build_robosuite
from outtakes.sim.robosuite.tabletop import TabletopTask, about_vertical

CUBE_HALF_EDGE = 0.021
"""m; robosuite draws it from [0.020, 0.022] whenever it builds the scene, we take the middle."""
CUBE_RANGE = (0.1, 0.2)
"""m; the cube starts at |x| and |y| up to these, seen from the middle of the table."""
SUCCESS_HEIGHT = 0.04
"""m of the cube's centre above the table top, as in robosuite."""


def _fix_cube_size(environment: RobosuiteEnvironment) -> None:
    for geom in environment.model.worldbody.iter("geom"):
        if geom.get("name") in ("cube_g0", "cube_g0_vis"):
            geom.set("size", " ".join([str(CUBE_HALF_EDGE)] * 3))


_SOURCE = SceneSource(
    module="lift",
    environment="Lift",
    overhead={"pos": "0.365 0 1.5", "xyaxes": "0 1 0 -0.84 0 0.543", "fovy": "42"},
    adapt=_fix_cube_size,
)


def build_robosuite_lift(image_size: int | None = None) -> RobosuiteEnvironment:
    """robosuite's own Lift on exactly our scene: the slow twin of `Lift`.

    Args:
        image_size: pixels on a side of the images of both cameras that every step then renders;
            None to render none.
    """
    return build_robosuite(_SOURCE, image_size)


class Lift(TabletopTask):
    """One cube, which is to be raised to 4 cm above the table.

    `observation.environment_state` (7,): cube position (m), cube quaternion (w >= 0, first).
    """

    name = "lift"
    task = "lift the red cube"
    own_horizon = 150
    source = _SOURCE

    def __init__(self, horizon: int | None = None) -> None:
        super().__init__(horizon)
        self._cube = self._model.body("cube_main").id

    def sample_initial_state(self, rng: np.random.Generator) -> np.ndarray:
        """Arm near its home, cube at rest anywhere in its range and at any yaw; (16,)."""
        arm = self._sample_arm(rng)
        x, y = rng.uniform(-1.0, 1.0, 2) * CUBE_RANGE
        cube = [x, y, self._scene.table_height + CUBE_HALF_EDGE]
        return np.concatenate([arm, cube, about_vertical(2 * rng.uniform(0.0, np.pi))])

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

    def _observe_objects(self) -> np.ndarray:
        return self._pose(self._cube)

    def _solved(self) -> bool:
        height = self._data.xpos[self._cube, 2] - self._scene.table_height
        return bool(height > SUCCESS_HEIGHT)

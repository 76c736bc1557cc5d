"""robosuite's scenes, as our tasks use them; the one door to robosuite.

robosuite builds a scene and compiles its model. Both twins are had from here: robosuite's own slow
environment, and the model that our tasks step themselves.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import import_module
from typing import Any
from xml.etree import ElementTree

import mujoco
import numpy as np

from outtakes.sim.rendering import Renderer
from outtakes.sim.robosuite.osc import PandaIndices

FPS = 20
"""Control steps a second."""
CAMERAS = {"overhead": "overhead", "wrist": "robot0_eye_in_hand"}
"""Our name of each camera -> its name in the model."""
type RobosuiteEnvironment = Any
"""robosuite declares no types: its attributes are all None to a type checker."""
_MODULES = "robosuite.environments.manipulation"


@dataclass(frozen=True)
class SceneSource:
    """Where a scene comes from and what is changed in it. Compares by identity."""

    module: str
    """Of robosuite's manipulation environments, for example "lift"."""
    environment: str
    """The class there, for example "Lift"."""
    overhead: Mapping[str, str]
    """Attributes of the overhead camera that is hung into the scene."""
    adapt: Callable[[RobosuiteEnvironment], None]
    """Changes the scene after robosuite has put it together and before it is compiled."""

    __eq__ = object.__eq__
    __hash__ = object.__hash__


def leave_as_it_is(environment: RobosuiteEnvironment) -> None:
    """The adaptation that changes nothing."""


def build_robosuite(source: SceneSource, image_size: int | None = None) -> RobosuiteEnvironment:
    """robosuite's own environment on exactly our scene: the slow twin of a task.

    Args:
        source: which scene.
        image_size: pixels on a side of the images of both cameras that every step then renders;
            None to render none.
    """
    with _quiet():
        own = getattr(import_module(f"{_MODULES}.{source.module}"), source.environment)

        class Adapted(own):
            def _load_model(self) -> None:
                super()._load_model()
                source.adapt(self)
                camera = {"name": "overhead", "mode": "fixed", **source.overhead}
                ElementTree.SubElement(self.model.worldbody, "camera", camera)

        return Adapted(
            robots="Panda",
            use_camera_obs=image_size is not None,
            has_offscreen_renderer=image_size is not None,
            camera_names=list(CAMERAS.values()),
            camera_heights=image_size or 1,
            camera_widths=image_size or 1,
            control_freq=FPS,
            ignore_done=True,
            hard_reset=False,
        )


def keep_objects(environment: RobosuiteEnvironment, names: tuple[str, ...]) -> None:
    """Take all other objects out of a scene that robosuite has put together."""
    from robosuite.models.tasks import ManipulationTask

    task = environment.model
    environment.model = ManipulationTask(
        mujoco_arena=task.mujoco_arena,
        mujoco_robots=list(task.mujoco_robots),
        mujoco_objects=[item for item in task.mujoco_objects if item.name in names],
    )


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


@dataclass(frozen=True)
class Scene:
    """What all environments of one task share in a process."""

    model: mujoco.MjModel
    panda: PandaIndices
    table_height: float
    """m, of the table top, or of the floor of the bins."""
    home: np.ndarray
    """(9,) joint angles of the arm in rad and finger positions in m."""
    joint_noise: float
    """Standard deviation of the arm's joint angles at the start, rad."""


@cache
def load_scene(source: SceneSource) -> Scene:
    """Build and compile a scene, once in a process."""
    environment = build_robosuite(source)
    model = environment.sim.model._model
    robot = environment.robots[0]
    fingers = [f"gripper0_right_gripper_finger_joint{i}" for i in (1, 2)]
    arena = environment.model.mujoco_arena
    floor = environment.bin1_pos if hasattr(environment, "bin1_pos") else arena.table_offset
    return Scene(
        model=model,
        panda=PandaIndices(
            grip_site=model.site("gripper0_right_grip_site").id,
            finger_actuators=(model.actuator(fingers[0]).id, model.actuator(fingers[1]).id),
        ),
        table_height=float(floor[2]),
        home=np.concatenate([robot.init_qpos, robot.gripper["right"].init_qpos]),
        joint_noise=float(robot.initialization_noise["magnitude"]),
    )


@lru_cache(maxsize=2)
def load_renderer(source: SceneSource) -> Renderer:
    """The renderer of a scene. A few are kept: each takes 300 MB."""
    return Renderer(load_scene(source).model)

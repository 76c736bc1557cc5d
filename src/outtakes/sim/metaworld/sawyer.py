"""The tasks of Meta-World: a Sawyer arm that moves its hand and fingers over a table.

Meta-World keeps what belongs to an episode in three places: the simulation, the model, into which
every reset writes where things stand, and attributes of the environment. Each `MetaWorldTask` has
all three to itself, copied from one prototype of the task, and every reset begins with the
attributes and the model as they were when the prototype was built.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import mujoco
import numpy as np

from outtakes.errors import ConfigError, UnknownName
from outtakes.sim.metaworld.instructions import PREFIX, instruction_of
from outtakes.sim.operators.perturbed_policy import MetaWorldOperator, Policy
from outtakes.sim.rendering import Renderer

if TYPE_CHECKING:
    from metaworld.sawyer_xyz_env import SawyerXYZEnv

ACTION_SIZE = 4

_HORIZON = 250
_HAND = 4
"""Numbers of Meta-World's observation that are about the hand."""
_OBJECT = 7
"""Numbers that are about one object: position and quaternion."""
_CAMERAS = {"overhead": "corner4", "wrist": "gripperPOV"}
_UPSIDE_DOWN = ("overhead",)
_DRAWN_GROUP = 1


@dataclass(frozen=True)
class _Prototype:
    """What all `MetaWorldTask`s of one name are copied from."""

    model: mujoco.MjModel
    attributes: Mapping[str, Any]
    """Of Meta-World's environment as built, without simulation, model and renderer."""
    kind: type[SawyerXYZEnv]
    policy: Policy
    scratch: mujoco.MjModel
    """To draw initial states in."""

    def environment(self, model: mujoco.MjModel, data: mujoco.MjData) -> SawyerXYZEnv:
        """Meta-World's environment as if just built, around this model and simulation."""
        model.body_pos[:], model.site_pos[:] = self.model.body_pos, self.model.site_pos
        mujoco.mj_resetData(model, data)
        environment = object.__new__(self.kind)
        environment.__dict__.update(copy.deepcopy(dict(self.attributes)), model=model, data=data)
        return environment


@lru_cache(maxsize=4)
def _prototype(task: str) -> _Prototype:
    with warnings.catch_warnings(action="ignore"):
        from metaworld.env_dict import ALL_V3_ENVIRONMENTS
        from metaworld.policies import ENV_POLICY_MAP

        built = ALL_V3_ENVIRONMENTS[task]()
    model = built.model
    # The floor and many objects are in a group of their own; all that is meant to be seen goes
    # into the one that is drawn.
    model.geom_group[model.geom_group == 0] = _DRAWN_GROUP
    # Its shadows are drawn so finely that in software they take most of the time.
    model.vis.quality.shadowsize = 0
    attributes = {
        name: value
        for name, value in built.__dict__.items()
        if name not in ("model", "data", "mujoco_renderer", "sawyer_observation_space")
    }
    # As Meta-World's benchmarks of known goals set it, which its policies need.
    attributes |= {"_partially_observable": False, "_set_task_called": True}
    policy = ENV_POLICY_MAP[task]().get_action
    return _Prototype(model, attributes, type(built), policy, copy.copy(model))


@lru_cache(maxsize=4)
def _load_renderer(task: str) -> Renderer:
    return Renderer(_prototype(task).model, sites=True)


class MetaWorldTask:
    """One of Meta-World's tasks; solved when Meta-World's own check says so.

    The initial state is what Meta-World calls the task's random vector: positions of the objects,
    of the goal, or of both, in m. Actions are (4,) in [-1, 1]: translation of the hand (1 is 1 cm
    a step), then the fingers (> 0 closes, < 0 opens).

    Observation:
        `observation.state` (4,): hand position (m), opening of the fingers (0 to 1, of 0.1 m).
        `observation.environment_state` (10,) or (17,): for each of one or two objects its position
        (m) and quaternion as Meta-World gives it, then the position of the goal (m).

    Args:
        name: one of `METAWORLD_ENVIRONMENTS`.
        horizon: control steps after which a rollout counts as failed; 250 when None.

    Raises:
        UnknownName: when there is no such task.
        ConfigError: when the horizon is not positive.
    """

    fps = 80
    action_size = ACTION_SIZE
    cameras = tuple(_CAMERAS)

    def __init__(self, name: str, horizon: int | None = None) -> None:
        if horizon is not None and horizon < 1:
            raise ConfigError(f"horizon {horizon}", remedy="give at least 1 control step")
        self.name, self.task = name, instruction_of(name)
        self.horizon = _HORIZON if horizon is None else horizon
        self._task = name.removeprefix(PREFIX)
        self._prototype = _prototype(self._task)
        self._model = copy.copy(self._prototype.model)
        self._data = mujoco.MjData(self._model)
        self._environment = self._prototype.environment(self._model, self._data)

    def sample_initial_state(self, rng: np.random.Generator) -> np.ndarray:
        """Draw a random vector of the task that Meta-World accepts."""
        scratch = self._prototype.scratch
        fresh = self._prototype.environment(scratch, mujoco.MjData(scratch))
        fresh.seeded_rand_vec, fresh._freeze_rand_vec = True, False
        fresh._np_random = rng
        fresh.reset_model()
        return np.asarray(fresh._last_rand_vec, np.float64)

    def reset(self, initial_state: np.ndarray) -> None:
        """Put everything where the state says, at rest; nothing of the past remains.

        Raises:
            ConfigError: when the state does not fit the task.
        """
        self._environment = self._prototype.environment(self._model, self._data)
        random = self._environment._random_reset_space
        assert random is not None, "every task has one"
        size = random.low.shape
        if np.shape(initial_state) != size:
            raise ConfigError(
                f"initial state of shape {np.shape(initial_state)}",
                remedy=f"give {size}, as sample_initial_state does",
            )
        self._environment._last_rand_vec = np.array(initial_state, np.float64)
        self._environment.reset()

    def observe(self) -> dict[str, np.ndarray]:
        """Low-dimensional observation, float32: `observation.state` (4,) and
        `observation.environment_state` (10,) or (17,)."""
        environment = self._environment
        frame = environment._get_curr_obs_combined_no_goal()
        objects = frame[_HAND : _HAND + self._objects * _OBJECT]
        environment_state = np.concatenate([objects, environment._get_pos_goal()])
        return {
            "observation.state": frame[:_HAND].astype(np.float32),
            "observation.environment_state": environment_state.astype(np.float32),
        }

    @property
    def _objects(self) -> int:
        return len(self._environment._get_pos_objects()) // 3

    def step(self, action: np.ndarray) -> bool:
        """Apply one (4,) action for 12.5 ms; True when the task is then solved.

        Raises:
            ConfigError: when the action is not 4 finite numbers.
        """
        action = np.asarray(action, np.float32)
        if action.shape != (ACTION_SIZE,) or not np.isfinite(action).all():
            raise ConfigError(f"action {action}", remedy=f"give {ACTION_SIZE} finite numbers")
        # Meta-World refuses to go on after its own horizon; ours is for the caller to keep.
        self._environment.curr_path_length = 0
        *_, facts = self._environment.step(np.clip(action, -1.0, 1.0))
        return bool(facts["success"])

    def render(self, camera: str, height: int, width: int) -> np.ndarray:
        """(height, width, 3) uint8 image of the present state, with the goal as Meta-World
        marks it.

        Raises:
            UnknownName: when there is no such camera.
            MachineError: when OpenGL does not work on this machine.
        """
        if camera not in _CAMERAS:
            raise UnknownName("camera", camera, _CAMERAS)
        renderer = _load_renderer(self._task)
        renderer.arrange(self._model.body_pos, self._model.site_pos)
        image = renderer.render(self._data.qpos, _CAMERAS[camera], height, width)
        # Meta-World's cameras in the corners hang upside down.
        return np.ascontiguousarray(image[::-1, ::-1]) if camera in _UPSIDE_DOWN else image

    def demonstrator(self, rng: np.random.Generator, mistake_rate: float) -> MetaWorldOperator:
        """A scripted operator at random, who makes a mistake with the given probability."""
        return MetaWorldOperator.draw(self._prototype.policy, rng, mistake_rate)

    def describe(self, features: Mapping[str, np.ndarray]) -> dict[str, float]:
        """Where the first object was at the start, `object_x`, `object_y` and `object_z`, and how
        far it was from there at most, `object_moved`; all m."""
        way = features["observation.environment_state"][:, :3]
        x, y, z = (float(value) for value in way[0])
        moved = float(np.linalg.norm(way - way[0], axis=1).max())
        return {"object_x": x, "object_y": y, "object_z": z, "object_moved": moved}

    def close(self) -> None:
        """Let go of this simulation; prototypes and renderers are shared and stay."""
        del self._environment, self._data, self._model

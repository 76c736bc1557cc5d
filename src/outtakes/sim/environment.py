"""What a simulated task must offer to be collected from and evaluated in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np

from outtakes import extensions
from outtakes.sim.metaworld.instructions import METAWORLD_ENVIRONMENTS
from outtakes.sim.operators.demonstrator import Demonstrator

GROUP = "outtakes.tasks"
"""Entry point group that other packages add to: name -> `(horizon | None) -> Environment`."""
_ROBOSUITE = {
    "lift": "outtakes.sim.robosuite.lift:Lift",
    "stack": "outtakes.sim.robosuite.stack:Stack",
    "pick-place-can": "outtakes.sim.robosuite.pick_place_can:PickPlaceCan",
    "door": "outtakes.sim.robosuite.door:Door",
    "nut-assembly-square": "outtakes.sim.robosuite.nut_assembly_square:NutAssemblySquare",
}
_METAWORLD = "outtakes.sim.metaworld.sawyer:MetaWorldTask"
_BUILT_IN = {**_ROBOSUITE, **dict.fromkeys(METAWORLD_ENVIRONMENTS, _METAWORLD)}


def environments() -> list[str]:
    """Names of all simulated tasks."""
    return extensions.names(GROUP, _BUILT_IN)


class Environment(Protocol):
    """One simulated task with a success check.

    Everything random is in the initial state: from one initial state, equal actions give equal
    observations, whatever else runs beside it.
    """

    name: str
    """For example "lift"."""
    task: str
    """The instruction in words, as stored with each episode."""
    fps: int
    """Control steps a second."""
    horizon: int
    """Control steps after which a rollout counts as failed."""
    action_size: int
    """A, numbers in an action."""
    cameras: tuple[str, ...]
    """Camera names that `render` knows; "overhead" and "wrist" are among them."""

    def sample_initial_state(self, rng: np.random.Generator) -> np.ndarray:
        """Draw an initial state: a flat float64 vector that `reset` takes."""
        ...

    def reset(self, initial_state: np.ndarray) -> None:
        """Put the simulation into this state, at rest."""
        ...

    def observe(self) -> Mapping[str, np.ndarray]:
        """Low-dimensional observation, float32: `observation.state` (S,) and
        `observation.environment_state` (E,)."""
        ...

    def render(self, camera: str, height: int, width: int) -> np.ndarray:
        """(height, width, 3) uint8 image of the present state."""
        ...

    def step(self, action: np.ndarray) -> bool:
        """Apply one (A,) action for 1/fps seconds; True when the task is then solved."""
        ...

    def demonstrator(self, rng: np.random.Generator, mistake_rate: float) -> Demonstrator:
        """A scripted operator at random, who makes a mistake with the given probability."""
        ...

    def describe(self, features: Mapping[str, np.ndarray]) -> Mapping[str, float]:
        """Facts of an episode worth keeping beside it, by name.

        Args:
            features: what was recorded, (T, ...) each; images are not needed.
        """
        ...

    def close(self) -> None:
        """Free the simulator and its renderer."""
        ...


def make_environment(name: str, *, horizon: int | None = None) -> Environment:
    """Build an environment by name; building a second one is cheap.

    Args:
        name: one of `environments()`.
        horizon: control steps after which a rollout counts as failed; the task's own when None.

    Raises:
        UnknownName: when there is none of that name.
    """
    # Imports the simulator, which takes seconds.
    build = extensions.load("environment", name, GROUP, _BUILT_IN)
    return build(name, horizon) if name in METAWORLD_ENVIRONMENTS else build(horizon)

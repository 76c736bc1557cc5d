"""A file as robosuite's own collection leaves it: model and states, neither observations nor
pictures."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import mujoco
import numpy as np

from outtakes.sim.robosuite.lift import Lift, build_robosuite_lift
from outtakes.sim.robosuite.model_file import find_assets
from tests.importers.robomimic_files import opened

if TYPE_CHECKING:
    from robosuite.environments.manipulation.lift import Lift as RobosuiteLift

ELSEWHERE = "/home/someone/envs/robots/lib/python3.10/site-packages"
"""Where robosuite lay on the machine that recorded the file."""
CAMERAS = ("overhead", "robot0_eye_in_hand")
SIZE = 64


@dataclass(frozen=True)
class Lived:
    """What robosuite and our own Lift showed while a demonstration was recorded."""

    observations: dict[str, np.ndarray]
    """robosuite's observations after a `forward`, (T, d) each."""
    pictures: dict[str, np.ndarray]
    """Camera -> (T, SIZE, SIZE, 3) uint8 of our Lift in the same configuration."""


def _model_file(simulation: Any) -> str:
    """The scene as robosuite writes it, on another machine."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.xml"
        mujoco.mj_saveLastXML(str(path), simulation.model._model)
        here = str(find_assets().parents[2])
        return path.read_text(encoding="utf-8").replace(here, ELSEWHERE)


def record_lift(path: Path, demos: int = 2, steps: int = 8) -> list[Lived]:
    """Roll robosuite's own Lift and write `demo.hdf5` as its collection script does."""
    environment = build_robosuite_lift()
    with opened(path, "w") as file:
        data = file.create_group("data")
        data.attrs["env"] = "Lift"
        data.attrs["env_info"] = json.dumps({"env_name": "Lift", "robots": "Panda"})
        return [
            _record(environment, data.create_group(f"demo_{number}"), number, steps)
            for number in range(1, demos + 1)
        ]


def _record(environment: RobosuiteLift, demo: Any, number: int, steps: int) -> Lived:
    environment.reset()
    simulation: Any = environment.sim
    lift, rng = Lift(), np.random.default_rng(number)
    states, actions, seen, shown = [], [], [], []
    for _ in range(steps):
        states.append(simulation.get_state().flatten())
        simulation.forward()
        seen.append(environment._get_observations(force_update=True))
        lift.reset(states[-1][1 : 1 + simulation.model.nq])
        shown.append([lift.render(camera, SIZE, SIZE) for camera in ("overhead", "wrist")])
        actions.append(rng.uniform(-1, 1, 7))
        environment.step(actions[-1])
    demo.attrs["model_file"] = _model_file(simulation)
    demo["states"], demo["actions"] = np.array(states), np.array(actions)
    return Lived(
        {key: np.array([observed[key] for observed in seen]) for key in seen[0]},
        dict(zip(CAMERAS, np.array(shown).swapaxes(0, 1), strict=True)),
    )

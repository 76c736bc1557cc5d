"""The arm itself."""

from __future__ import annotations

from typing import Any

import numpy as np
from lerobot.robots import Robot

from outtakes.sim.environment import make_environment
from outtakes.sim.robosuite.osc import ACTION_SIZE
from tests.plugin.simulated_arm.config_simulated_arm import SimulatedArmConfig

SIZE = 64
"""Pixels on a side of its images."""
STATE = [f"state_{i}.pos" for i in range(14)]
ACTION = [f"action_{i}.pos" for i in range(ACTION_SIZE)]


class SimulatedArm(Robot):
    """The simulated Panda of Lift."""

    config_class = SimulatedArmConfig
    name = "simulated_arm"

    def __init__(self, config: SimulatedArmConfig) -> None:
        super().__init__(config)
        self.log = config.log
        self.simulation = make_environment("lift")
        self.actions: list[list[float]] = []
        self.first: dict[str, Any] = {}
        self.on = False

    @property
    def observation_features(self) -> dict[str, Any]:
        return {**dict.fromkeys(STATE, float), "overhead": (SIZE, SIZE, 3)}

    @property
    def action_features(self) -> dict[str, Any]:
        return dict.fromkeys(ACTION, float)

    @property
    def is_connected(self) -> bool:
        return self.on

    @property
    def is_calibrated(self) -> bool:
        return True

    def connect(self, calibrate: bool = True) -> None:
        state = self.simulation.sample_initial_state(np.random.default_rng(0))
        self.simulation.reset(state)
        self.on = True

    def calibrate(self) -> None: ...

    def configure(self) -> None: ...

    def get_observation(self) -> dict[str, Any]:
        state = self.simulation.observe()["observation.state"]
        image = self.simulation.render("overhead", SIZE, SIZE)
        self.first = self.first or {"state": state, "image": image}
        return {**dict(zip(STATE, state.tolist(), strict=True)), "overhead": image}

    def send_action(self, action: dict[str, Any]) -> dict[str, Any]:
        self.actions.append([float(action[name]) for name in ACTION])
        self.simulation.step(np.array(self.actions[-1]))
        return action

    def disconnect(self) -> None:
        self.on = False
        np.savez(self.log, actions=np.array(self.actions), **self.first)
        self.simulation.close()

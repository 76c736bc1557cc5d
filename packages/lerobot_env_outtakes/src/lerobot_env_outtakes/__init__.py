"""The simulated tasks of Outtakes as a plugin of LeRobot, which imports this package by name."""

from lerobot_env_outtakes.configuration import OuttakesEnvConfig
from lerobot_env_outtakes.simulated_task import SimulatedTask

__all__ = ["OuttakesEnvConfig", "SimulatedTask"]

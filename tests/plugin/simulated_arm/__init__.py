"""A robot as LeRobot drives one, whose arm, cube and camera are those of the simulated Lift."""

from tests.plugin.simulated_arm.config_simulated_arm import SimulatedArmConfig
from tests.plugin.simulated_arm.simulated_arm import SimulatedArm

__all__ = ["SimulatedArm", "SimulatedArmConfig"]

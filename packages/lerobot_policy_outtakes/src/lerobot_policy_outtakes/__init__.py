"""The policy of Outtakes as a plugin of LeRobot, which imports this package by name."""

from lerobot_policy_outtakes.configuration_outtakes_act import OuttakesActConfig
from lerobot_policy_outtakes.optimizer_config import OuttakesAdamWConfig

__all__ = ["OuttakesActConfig", "OuttakesAdamWConfig"]

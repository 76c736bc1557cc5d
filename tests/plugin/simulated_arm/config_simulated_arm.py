"""What `--robot.type=simulated_arm` takes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lerobot.robots import RobotConfig


@RobotConfig.register_subclass("simulated_arm")
@dataclass(kw_only=True)
class SimulatedArmConfig(RobotConfig):
    """Where to write down what the arm was told."""

    log: Path
    """File for the first observation and the actions, .npz."""

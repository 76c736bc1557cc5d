"""Recording one take in real time: a steady clock, and what is kept of every control step."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np

from outtakes.sim.collect import STEPS_AFTER_SUCCESS
from outtakes.sim.environment import Environment

LATE = 0.25
"""Share of a control step; one that begins later than this after its time counts as late."""


@dataclass
class Pace:
    """A steady clock of control steps.

    A step or two that took too long are made up for; after more the clock starts anew, so that no
    rush follows.
    """

    fps: int
    late: int = 0
    """Steps that began late."""
    behind: bool = False
    """Whether there is time to make up for, so that all but the step itself should be left."""
    due: float = field(default_factory=time.monotonic)
    """`time.monotonic()` at which the present step was to begin."""

    @property
    def next(self) -> float:
        """`time.monotonic()` at which the next step is to begin."""
        return self.due + 1 / self.fps

    def wait(self) -> None:
        """Wait for the next step."""
        self.due = self.next
        debt = time.monotonic() - self.due
        time.sleep(max(0.0, -debt))
        self.late += debt > LATE / self.fps
        self.behind = 0 < debt <= 1 / self.fps
        if debt > 1 / self.fps:
            self.due += debt


@dataclass
class Tape:
    """What is recorded of one take.

    Args:
        steps_left: control steps after which the take ends by itself.
    """

    steps_left: int
    solved: bool = False
    frames: dict[str, list] = field(default_factory=dict)
    """Feature -> its values so far."""

    def __len__(self) -> int:
        return len(self.frames.get("action", ()))

    def step(self, environment: Environment, action: np.ndarray) -> None:
        """Apply one action and record it with what was seen before."""
        observation = environment.observe()
        solved = environment.step(action)
        for name, value in {**observation, "action": action, "next.success": solved}.items():
            self.frames.setdefault(name, []).append(value)
        self.steps_left -= 1
        if solved and not self.solved:
            self.solved = True
            self.steps_left = min(self.steps_left, STEPS_AFTER_SUCCESS)

    def features(self) -> dict[str, np.ndarray]:
        """Feature -> (T, ...) array."""
        return {name: np.array(values) for name, values in self.frames.items()}

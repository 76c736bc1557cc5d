"""Someone who lifts the cube with the keyboard, seeing where things are, and then stops.

Run as a program on an X display, with the folder of the dataset to come: the keys are real, and so
is the window; only the eyes are not. Keys are tapped, and what they did is waited for, so that it
does not matter how fast the machine is.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from outtakes.sim.person import session
from outtakes.sim.person.preferences import PersonConfig
from outtakes.sim.robosuite.lift import Lift
from tests.display import Fingers

MARGIN = 0.008
"""m off the cube's middle at which the fingers still go round it."""
CONFIG = PersonConfig(speed=1.0, seconds=60, cameras=())


class SeenLift(Lift):
    """Lift that someone watches from another thread."""

    seen: Mapping[str, np.ndarray]
    steps = 0

    def reset(self, initial_state: np.ndarray) -> None:
        super().reset(initial_state)
        self.observe()

    def observe(self) -> dict[str, np.ndarray]:
        self.seen = super().observe()
        return dict(self.seen)

    def step(self, action: np.ndarray) -> bool:
        solved = super().step(action)
        self.steps += 1
        return solved

    def wait(self, steps: int) -> None:
        """Until so many more control steps have passed."""
        until, deadline = self.steps + steps, time.monotonic() + 60
        while self.steps < until and time.monotonic() < deadline:
            time.sleep(0.01)


class Person:
    """Whoever is at the keys."""

    def __init__(self, lift: SeenLift) -> None:
        self._lift, self._fingers = lift, Fingers(os.environ["DISPLAY"])
        self._ready, self._kept = threading.Event(), threading.Event()

    def hear(self, text: str) -> None:
        """What the program says."""
        if "ready" in text:
            self._ready.set()
        if "kept" in text:
            self._ready.clear()
            self._kept.set()

    def lift_cube_and_stop(self) -> None:
        """One take, and no more."""
        self._ready.wait(60)
        self._fingers.wait_for_window()
        while keys := self._keys():
            for key in keys:
                self._fingers.tap(key)
            self._lift.wait(4)
        self._fingers.tap("space")
        self._lift.wait(12)
        self._fingers.press("semicolon")
        self._kept.wait(60)
        self._fingers.release("semicolon")
        self._ready.wait(60)
        self._fingers.tap("Escape")
        self._fingers.close()

    def _keys(self) -> list[str]:
        """What leads the gripper to the cube: over it first, then down."""
        seen = self._lift.seen
        way = seen["observation.environment_state"][:3] - seen["observation.state"][7:10]
        keys = []
        if abs(way[0]) > MARGIN:
            keys.append("Down" if way[0] > 0 else "Up")
        if abs(way[1]) > MARGIN:
            keys.append("Right" if way[1] > 0 else "Left")
        return keys or ["period"] * bool(way[2] < -MARGIN)


def ignore(done: int, total: int, what: str) -> None:
    pass


def main(out: Path) -> None:
    """Collect as the command line does, but in view of the person."""
    lift = SeenLift()
    session.make_environment = lambda name: lift
    someone = Person(lift)
    hands = threading.Thread(target=someone.lift_cube_and_stop)
    hands.start()
    session.collect_by_person(CONFIG, out, say=someone.hear, progress=ignore)
    hands.join()


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""Someone who lifts the cube with the arrow keys, looking at where things are.

Run as a program on an X display: the keys are real, and so is the window; only the eyes are not.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Mapping

import numpy as np

from outtakes.sim.lift import Lift
from outtakes.sim.person import PersonConfig
from outtakes.sim.takes import Take
from tests.display import Fingers


class SeenLift(Lift):
    """Lift that someone watches from another thread."""

    seen: Mapping[str, np.ndarray]

    def reset(self, initial_state: np.ndarray) -> None:
        super().reset(initial_state)
        self.observe()

    def observe(self) -> dict[str, np.ndarray]:
        self.seen = super().observe()
        return dict(self.seen)


def wanted_keys(way: np.ndarray) -> set[str]:
    """Keys that lead the gripper along `way`, (3,) m: over the cube first, then down."""
    keys = set()
    if way[0] > 0.008:
        keys.add("Down")
    if way[0] < -0.008:
        keys.add("Up")
    if way[1] > 0.008:
        keys.add("Right")
    if way[1] < -0.008:
        keys.add("Left")
    if not keys and way[2] < -0.004:
        keys.add("period")
    return keys


def lift_cube(lift: SeenLift, fingers: Fingers, over: threading.Event) -> None:
    """Press keys until the cube is lifted or the take is over."""
    fingers.wait_for_window()
    held: set[str] = set()
    while not over.is_set():
        seen = lift.seen
        way = seen["observation.environment_state"][:3] - seen["observation.state"][7:10]
        keys = wanted_keys(way)
        for key in held - keys:
            fingers.release(key)
        for key in keys - held:
            fingers.press(key)
        held = keys
        if not keys:
            break
        time.sleep(0.02)
    fingers.tap("space")
    time.sleep(0.5)
    fingers.press("semicolon")
    over.wait(10)
    fingers.release("semicolon")


def main() -> None:
    """Record one take and tell what came of it."""
    # Imports pynput, which looks for a display.
    from outtakes.sim.teleoperation import teleoperate

    lift, over, kept = SeenLift(), threading.Event(), []

    def keep(take: Take) -> None:
        kept.append(take)
        over.set()

    fingers = Fingers(os.environ["DISPLAY"])
    hands = threading.Thread(target=lift_cube, args=(lift, fingers, over))
    lift.reset(lift.sample_initial_state(np.random.default_rng(0)))
    config = PersonConfig(takes=1, speed=0.6, seconds=30)
    hands.start()
    teleoperate(config, lift, [], keep=keep, say=lambda text: None)
    hands.join()
    fingers.close()
    (take,) = kept
    features = take.attempt.features
    print(json.dumps({name: features[name].tolist() for name in ("action", "next.success")}))


if __name__ == "__main__":
    main()

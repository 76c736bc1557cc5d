"""A person moves the gripper of a simulated robot in real time, take after take.

A take starts from the initial state of the scripted operator's attempt of the same number, and is
recorded from the first input on, so that no demonstration begins with a pause.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from enum import Enum

import numpy as np

from outtakes.errors import ConfigError
from outtakes.sim.collect import Attempt
from outtakes.sim.environment import Environment
from outtakes.sim.initial_states import InitialStates, Stream
from outtakes.sim.person.devices import POSE_DELTAS, Device, open_device
from outtakes.sim.person.preferences import PersonConfig
from outtakes.sim.person.screen import Phase, Screen, Status
from outtakes.sim.person.takes import Take
from outtakes.sim.person.tape import Pace, Tape

_CONTROLS = {
    "Enter": "end the take, keep it",
    "Backspace": "redo it from its start",
    "X": "discard it, go on",
    "Esc": "stop",
}
"""Keys of our own -> what they do; robosuite's devices leave them free."""
_SECONDS_OF_VERDICT = 1.0
"""How long the end of a take stays on the screen."""


class Ending(Enum):
    """How a take ended; the values are keys of the window, or say that no key did it."""

    ITSELF = ""
    KEEP = "enter"
    REDO = "backspace"
    DISCARD = "x"
    STOP = "escape"


def teleoperate(
    config: PersonConfig,
    environment: Environment,
    takes: list[Take],
    *,
    keep: Callable[[Take], None],
    say: Callable[[str], None],
) -> None:
    """Record takes until there are enough or the person stops.

    Args:
        config: how.
        environment: takes 7-D pose deltas with a gripper.
        takes: those kept so far; grows.
        keep: called with each take that is kept, before the next begins.
        say: told what happens, in words.

    Raises:
        ConfigError: when a setting or the environment cannot work.
        MachineError: when the display or the device is missing.
    """
    if environment.action_size != POSE_DELTAS:
        raise ConfigError(
            f"{environment.name} takes other actions than 7-D pose deltas with a gripper",
            remedy="choose one of robosuite's tasks, such as lift",
        )
    device = open_device(config.operator, config.speed)
    controls = {**device.controls, **_CONTROLS}
    _warm_up(environment)
    with closing(Screen(environment.task, environment.cameras, controls)) as screen:
        say("\n".join(f"{key:>12}  {meaning}" for key, meaning in controls.items()))
        stage = Stage(config, environment, device, screen, takes)
        number = takes[-1].attempt.number + 1 if takes else 0
        while not config.satisfied(takes):
            say(f"take {len(takes) + 1}, attempt {number}: ready")
            ending, take = stage.record(number)
            if take is not None:
                keep(take)
                takes.append(take)
            say(f"attempt {number}: {_told(ending, take)}")
            if take is not None:
                ending = stage.show_verdict(take)
            if ending is Ending.STOP:
                return
            number += ending is not Ending.REDO


def _warm_up(environment: Environment) -> None:
    """Compile and load what the first step needs, which takes seconds."""
    environment.reset(environment.sample_initial_state(np.random.default_rng(0)))
    environment.step(np.zeros(environment.action_size))


def _told(ending: Ending, take: Take | None) -> str:
    if take is None:
        return {Ending.REDO: "again", Ending.DISCARD: "discarded"}.get(ending, "stopped")
    outcome = "success" if take.attempt.success else "failure"
    steps = len(take.attempt.features["action"])
    return f"kept, a {outcome}, {steps} steps in {take.seconds:.1f} s, {take.late_steps} late"


@dataclass
class Stage:
    """Where takes are recorded, one by one."""

    config: PersonConfig
    environment: Environment
    device: Device
    screen: Screen
    takes: list[Take]
    """Those kept so far."""

    def record(self, number: int) -> tuple[Ending, Take | None]:
        """Record the take of one attempt.

        Returns:
            How it ended, and the take if it is kept.
        """
        initial_state = self._start(number)
        tape = Tape(self.config.seconds * self.environment.fps)
        pace, started = Pace(self.environment.fps), 0.0
        ending, action = Ending.ITSELF, np.zeros(POSE_DELTAS)
        while tape.steps_left > 0:
            ending, action = self._listen()
            if ending is Ending.KEEP and not tape.frames:
                ending = Ending.ITSELF
            if ending is not Ending.ITSELF:
                break
            if not tape.frames and _is_input(action):
                pace, started = Pace(self.environment.fps), time.monotonic()
            if tape.frames or _is_input(action):
                tape.step(self.environment, action)
            if not pace.behind:
                self._draw(_phase(tape), len(tape), pace.next)
            pace.wait()
        if ending not in (Ending.ITSELF, Ending.KEEP):
            return ending, None
        if len(tape) == 1:  # a dataset takes no episode of one frame
            tape.step(self.environment, action)
        attempt = Attempt(number, None, initial_state, tape.features())
        seconds = time.monotonic() - started
        return ending, Take(attempt, self.config.operator, seconds, pace.late)

    def _start(self, number: int) -> np.ndarray:
        rng = InitialStates(Stream.COLLECT, self.config.seed).rng(number)
        initial_state = self.environment.sample_initial_state(rng)
        self.environment.reset(initial_state)
        self.device.restart()
        return initial_state

    def _listen(self) -> tuple[Ending, np.ndarray]:
        """What the person asks for: an end, and the action of this step."""
        ending = Ending.ITSELF
        for event in self.screen.poll():
            if event.pressed and event.key in _ENDING_KEYS:
                ending = Ending(event.key)
            elif event.pressed:
                self.device.press(event.key)
            else:
                self.device.release(event.key)
        action = self.device.act()
        return (Ending.REDO, np.zeros(POSE_DELTAS)) if action is None else (ending, action)

    def _draw(self, phase: Phase, steps: int, until: float) -> None:
        successes = sum(take.attempt.success for take in self.takes)
        status = Status(
            phase=phase,
            take=len(self.takes) + (phase not in _VERDICTS),
            wanted=self.config.takes,
            successes=successes,
            failures=len(self.takes) - successes,
            seconds=steps // self.environment.fps,
            limit=self.config.seconds,
        )
        self.screen.draw(self.environment, status, until)

    def show_verdict(self, take: Take) -> Ending:
        """Leave the end of the last kept take on the screen for a moment; all keys but that which
        stops are ignored meanwhile."""
        phase = Phase.KEPT_SUCCESS if take.attempt.success else Phase.KEPT_FAILURE
        until = time.monotonic() + _SECONDS_OF_VERDICT
        self._draw(phase, len(take.attempt.features["action"]), until)
        time.sleep(max(0.0, until - time.monotonic()))
        stop = any(event.pressed and event.key == "escape" for event in self.screen.poll())
        return Ending.STOP if stop else Ending.ITSELF


_ENDING_KEYS = {ending.value for ending in Ending if ending is not Ending.ITSELF}
_VERDICTS = (Phase.KEPT_SUCCESS, Phase.KEPT_FAILURE)


def _is_input(action: np.ndarray) -> bool:
    return bool(action[:6].any() or action[6] > 0)


def _phase(tape: Tape) -> Phase:
    if not tape.frames:
        return Phase.READY
    return Phase.SUCCESS if tape.solved else Phase.RECORDING

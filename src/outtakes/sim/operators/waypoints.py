"""A scripted demonstrator who follows a plan of a few legs, roughly, as people do.

What a task asks for is in its plan; how it is carried out (pace, tremor, hesitation, misjudgement)
is in the personality, and what goes wrong is a mistake that the plan works in. The operator sees
the low-dimensional observation alone and closes the loop on it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from outtakes.sim.operators.mistake import Mistake
from outtakes.sim.operators.personality import Personality
from outtakes.sim.operators.tremor import ARM_AXES, Tremor

_METRES_PER_ACTION = 0.05
_RADIANS_PER_ACTION = 0.5
_TURN_GAIN = 0.4
_FASTEST_TURN = 0.5
_OPEN, _CLOSED = -1.0, 1.0


@dataclass(frozen=True)
class View:
    """What the operator sees of an observation."""

    hand: np.ndarray
    """(3,) position of the gripper, m."""
    turn: np.ndarray
    """(3,) rotation vector away from pointing straight down, rad."""
    objects: np.ndarray
    """(E,) `observation.environment_state`."""

    @classmethod
    def of(cls, observation: Mapping[str, np.ndarray]) -> View:
        """The view in what `Environment.observe` gives."""
        state = observation["observation.state"].astype(np.float64)
        objects = observation["observation.environment_state"].astype(np.float64)
        return cls(hand=state[7:10], turn=state[10:13], objects=objects)


def stay(view: View, start: View) -> np.ndarray:
    """The place where the hand was when the leg began."""
    return start.hand


def keep_turn(view: View, start: View) -> np.ndarray:
    """The rotation about the vertical that the hand had when the leg began."""
    return np.array([0.0, 0.0, start.turn[2]])


def point_down(view: View, start: View) -> np.ndarray:
    """Straight down, palm as at the start of the episode."""
    return np.zeros(3)


@dataclass(frozen=True)
class Leg:
    """One part of a plan: go there, with the fingers so, until near enough."""

    target: Callable[[View, View], np.ndarray]
    """Where the hand is to go, (3,) m, from what is seen now and what was when the leg began."""
    closed: bool = False
    """Whether the fingers are to close."""
    pace: float = 1.0
    """Largest translation command, as a share of the personality's."""
    near: float = 0.01
    """m of distance to the target at which the leg is through."""
    wait: int = 0
    """Control steps that it lasts at least."""
    patience: int = 60
    """Control steps after which the operator moves on whatever was reached."""
    turn: Callable[[View, View], np.ndarray] = keep_turn
    """Rotation vector wanted, (3,) rad, as `target`."""
    went_wrong: Callable[[View], bool] | None = None
    """Seen at the end of the leg: what a person who tries twice would start over for."""


type Plan = Callable[[Mistake | None], Sequence[Leg]]


class WaypointOperator:
    """Gives actions for one episode, until `finished`.

    Args:
        plan: makes the legs, with a mistake worked in.
        personality: how to go about it.
        mistake: what to get wrong, if anything.
        retry: whether to start over once, without the mistake, when a leg went wrong.
        rng: the hand's noise.
    """

    def __init__(
        self,
        plan: Plan,
        personality: Personality,
        mistake: Mistake | None,
        *,
        retry: bool,
        rng: np.random.Generator,
    ) -> None:
        self._plan, self._personality, self._mistake = plan, personality, mistake
        self._retry = retry
        self._legs = list(plan(mistake))
        self._steps, self._start = 0, None
        self._tremor, self._command = Tremor(personality, ARM_AXES, rng), np.zeros(3)

    @property
    def mistake(self) -> Mistake | None:
        """What this operator will still get wrong."""
        return self._mistake

    @property
    def finished(self) -> bool:
        """Whether the operator has let go of the controls."""
        return not self._legs

    def act(self, observation: Mapping[str, np.ndarray]) -> np.ndarray:
        """Next action, (7,) float32 in [-1, 1]."""
        view = View.of(observation)
        start = self._start if self._start is not None else view
        if self._steps and self._through(view, start):
            self._move_on(view)
            start = view
        self._start = start
        self._steps += 1
        if self.finished:
            return np.zeros(7, np.float32)
        leg = self._legs[0]
        motion = np.concatenate([self._steer(leg, view, start), _twist(leg, view, start)])
        fingers = _CLOSED if leg.closed else _OPEN
        action = np.append(motion + self._tremor.step(), fingers)
        return np.clip(action, -1.0, 1.0).astype(np.float32)

    def _through(self, view: View, start: View) -> bool:
        leg = self._legs[0]
        if self._steps >= leg.patience:
            return True
        distance = np.linalg.norm(leg.target(view, start) - view.hand)
        return self._steps >= leg.wait and bool(distance < leg.near)

    def _move_on(self, view: View) -> None:
        done = self._legs.pop(0)
        self._steps = 0
        if self._retry and done.went_wrong is not None and done.went_wrong(view):
            self._retry, self._mistake = False, None
            self._legs = list(self._plan(None))

    def _steer(self, leg: Leg, view: View, start: View) -> np.ndarray:
        """Head for the target, at most at the leg's pace, and smoothly."""
        wanted = (leg.target(view, start) - view.hand) / _METRES_PER_ACTION
        wanted = _shorten(wanted, leg.pace * self._personality.pace)
        keep = self._personality.smoothness
        self._command = keep * self._command + (1 - keep) * wanted
        return self._command


def _twist(leg: Leg, view: View, start: View) -> np.ndarray:
    """Rotation command towards the wanted rotation, (3,)."""
    wanted = _TURN_GAIN * (leg.turn(view, start) - view.turn) / _RADIANS_PER_ACTION
    return _shorten(wanted, _FASTEST_TURN)


def _shorten(vector: np.ndarray, longest: float) -> np.ndarray:
    return vector * (longest / max(longest, float(np.linalg.norm(vector))))

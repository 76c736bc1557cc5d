"""A scripted demonstrator who lifts the cube as people do: roughly, and not always.

Each episode has its own personality (pace, tremor, hesitation, overshoot) and, sometimes, a
mistake whose size runs from trivial, when the episode often still succeeds, to gross. The
operator sees the low-dimensional observation alone, closes the loop on it, and never learns
whether the episode counted as a success: that is for the environment to say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto

import numpy as np

from outtakes.sim.operators.mistake import (
    Mistake,
    MistakeKind,
    MistakeKinds,
    draw_mistake,
    offset_of,
    size_of,
)
from outtakes.sim.operators.personality import Personality
from outtakes.sim.operators.tremor import ARM_AXES, Tremor

MISTAKES: MistakeKinds = {
    "off_centre": MistakeKind(0.055, frequency=0.2),
    "too_high": MistakeKind(0.055, frequency=0.2),
    "push": MistakeKind(0.12, frequency=0.25),
    "slip": MistakeKind(16.0, "control steps", frequency=0.25),
    # Fails more surely than the rest.
    "give_up": MistakeKind(0.06, frequency=0.1),
}
"""What can go wrong, by how much:

- off_centre: m between where the fingers close and the centre of the cube.
- too_high: m above the right height where they close.
- push: m of horizontal distance at which the hand comes down, to shove on to where the cube was.
- slip: control steps for which the fingers open during the lift; some 6 let the cube go.
- give_up: m of way still to go, of reach and lift, when the operator stops.
"""

_METRES_PER_ACTION = 0.05
_RADIANS_PER_ACTION = 0.5
_LIFT_TARGET = 0.09
_OPEN, _CLOSED = -1.0, 1.0


class _Phase(Enum):
    REACH = auto()
    PAUSE = auto()
    DESCEND = auto()
    CLOSE = auto()
    LIFT = auto()
    SLIP = auto()
    DONE = auto()


# Control steps after which the operator moves on whatever was reached.
_PATIENCE = {_Phase.REACH: 50, _Phase.DESCEND: 22, _Phase.LIFT: 24}


@dataclass(frozen=True)
class _View:
    """What the operator sees of an observation."""

    hand: np.ndarray
    turn: np.ndarray
    cube: np.ndarray

    @classmethod
    def of(cls, observation: Mapping[str, np.ndarray]) -> _View:
        state = observation["observation.state"].astype(np.float64)
        cube = observation["observation.environment_state"][:3].astype(np.float64)
        return cls(hand=state[7:10], turn=state[10:13], cube=cube)


class LiftOperator:
    """Gives actions for one episode of Lift, until `finished`.

    Args:
        personality: how to go about it.
        mistake: what to get wrong, if anything.
        retry: whether to try once more, without the mistake, when the first lift brings nothing.
        rng: the hand's noise.
    """

    def __init__(
        self,
        personality: Personality,
        mistake: Mistake | None,
        *,
        retry: bool,
        rng: np.random.Generator,
    ) -> None:
        self._personality, self._mistake, self._retry = personality, mistake, retry
        self._phase, self._steps = _Phase.REACH, 0
        self._overshoot: np.ndarray | None = None
        self._tremor, self._command = Tremor(personality, ARM_AXES, rng), np.zeros(3)
        self._spotted, self._grasp = np.zeros(3), np.zeros(3)
        self._slip_height = rng.uniform(0.0, 0.003)
        self._slipped = False

    @classmethod
    def draw(cls, rng: np.random.Generator, mistake_rate: float) -> LiftOperator:
        """An operator at random, who makes a mistake with the given probability."""
        personality = Personality.draw(rng)
        mistake = draw_mistake(rng, MISTAKES) if rng.random() < mistake_rate else None
        return cls(personality, mistake, retry=rng.random() < 0.15, rng=rng)

    @property
    def mistake(self) -> Mistake | None:
        """What this operator set out to get wrong."""
        return self._mistake

    @property
    def finished(self) -> bool:
        """Whether the operator has let go of the controls."""
        return self._phase is _Phase.DONE

    def act(self, observation: Mapping[str, np.ndarray]) -> np.ndarray:
        """Next action, (7,) float32 in [-1, 1], from an observation of Lift."""
        view = _View.of(observation)
        self._advance(view)
        self._steps += 1
        translation = self._steer(self._target(view) - view.hand)
        rotation = -0.4 * view.turn / _RADIANS_PER_ACTION
        motion = np.concatenate([translation, rotation]) + self._tremor.step()
        return np.clip(np.append(motion, self._fingers()), -1.0, 1.0).astype(np.float32)

    def _size(self, kind: str) -> float:
        """Size of the mistake when it is of this kind, else 0."""
        return size_of(self._mistake, kind)

    def _aim(self, view: _View) -> np.ndarray:
        """Where the operator means the fingers to close."""
        aim = view.cube + self._personality.misjudgement + offset_of(self._mistake, "off_centre")
        aim[2] += self._size("too_high")
        return aim

    def _target(self, view: _View) -> np.ndarray:
        if self._phase in (_Phase.REACH, _Phase.PAUSE):
            return self._reach_target(view)
        if self._phase is _Phase.DESCEND:
            return self._descend_target(view)
        raised = _LIFT_TARGET if self._phase in (_Phase.LIFT, _Phase.SLIP) else 0.0
        return self._grasp + [0.0, 0.0, raised]

    def _reach_target(self, view: _View) -> np.ndarray:
        target = self._aim(view)
        if self._overshoot is None:
            way = target[:2] - view.hand[:2]
            self._overshoot = self._personality.overshoot * way / np.linalg.norm(way)
        target[:2] += self._overshoot
        target[2] += self._personality.hover
        return target

    def _descend_target(self, view: _View) -> np.ndarray:
        if not self._size("push"):
            return self._aim(view)
        # Straight down beside the cube first, then level to where it was.
        down = view.hand[2] - self._spotted[2] < 0.012
        return self._spotted if down else np.array([*view.hand[:2], self._spotted[2]])

    def _steer(self, way: np.ndarray) -> np.ndarray:
        """Head along the way, at most at the personal pace, and smoothly."""
        pace = self._pace()
        wanted = way / _METRES_PER_ACTION
        wanted *= pace / max(pace, float(np.linalg.norm(wanted)), 1e-9)
        keep = self._personality.smoothness
        self._command = keep * self._command + (1 - keep) * wanted
        return self._command

    def _pace(self) -> float:
        match self._phase:
            case _Phase.PAUSE:
                return 0.0
            case _Phase.LIFT:
                return self._personality.lift_pace
            case _Phase.SLIP:
                return 0.6 * self._personality.lift_pace
            case _:
                return self._personality.pace

    def _fingers(self) -> float:
        return _CLOSED if self._phase in (_Phase.CLOSE, _Phase.LIFT) else _OPEN

    def _enter(self, phase: _Phase) -> None:
        self._phase, self._steps = phase, 0

    def _advance(self, view: _View) -> None:
        """Move on to the next phase when this one is through."""
        if self._gives_up(view):
            self._enter(_Phase.DONE)
        elif self._through(view):
            self._move_on(view)

    def _gives_up(self, view: _View) -> bool:
        size = self._size("give_up")
        if not size:
            return False
        # A hand above the cube has still to come down and then lift by 2 cm.
        lifted = self._phase in (_Phase.LIFT, _Phase.SLIP)
        risen = view.hand[2] - self._grasp[2]
        to_go = 0.0 if lifted else float(np.linalg.norm(view.hand - view.cube))
        to_go += 0.02 - risen if lifted else 0.02
        return to_go < size

    def _through(self, view: _View) -> bool:
        way = self._target(view) - view.hand
        off = float(np.linalg.norm(way[:2]))
        if self._steps >= _PATIENCE.get(self._phase, 1000):
            return True
        match self._phase:
            case _Phase.REACH:
                return off < max(self._personality.care, self._size("push"))
            case _Phase.PAUSE:
                return self._steps >= self._personality.hesitation
            case _Phase.DESCEND:
                return abs(way[2]) < 0.005 and off < max(0.008, self._personality.care)
            case _Phase.CLOSE:
                return self._steps >= self._personality.squeeze
            case _Phase.LIFT:
                return self._slips(view) or view.hand[2] - self._grasp[2] > 0.06
            case _Phase.SLIP:
                return self._steps >= self._size("slip")
        return False

    def _slips(self, view: _View) -> bool:
        due = view.hand[2] - self._grasp[2] > self._slip_height
        return bool(due and self._size("slip") and not self._slipped)

    def _move_on(self, view: _View) -> None:
        match self._phase:
            case _Phase.REACH if self._overshoot is not None and self._overshoot.any():
                self._overshoot = np.zeros(2)
            case _Phase.REACH:
                self._enter(_Phase.PAUSE)
            case _Phase.PAUSE:
                self._spotted = self._aim(view)
                self._enter(_Phase.DESCEND)
            case _Phase.DESCEND:
                self._grasp = view.hand.copy()
                self._enter(_Phase.CLOSE)
            case _Phase.CLOSE:
                self._enter(_Phase.LIFT)
            case _Phase.LIFT if self._slips(view):
                self._slipped = True
                self._enter(_Phase.SLIP)
            case _Phase.SLIP:
                self._enter(_Phase.LIFT)
            case _Phase.LIFT if self._retry and view.hand[2] - view.cube[2] > 0.03:
                self._retry, self._mistake = False, None
                self._enter(_Phase.REACH)
            case _:
                self._enter(_Phase.DONE)

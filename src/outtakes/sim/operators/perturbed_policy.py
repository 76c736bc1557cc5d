"""A scripted demonstrator of Meta-World's tasks, who errs as people do.

Meta-World ships a policy for each task that sees everything and makes no mistake. Here a person
stands between it and the robot: one who sees the scene a little off, has a pace, a tremor and
hesitations of their own and, sometimes, makes a mistake whose size runs from trivial to gross.
All of it is defined for any task alike.
"""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Callable, Mapping

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
from outtakes.sim.operators.tremor import HAND_AXES, Tremor

# Fingers matter in some tasks only, so where the hand goes is got wrong more often.
MISTAKES: MistakeKinds = {
    "off_target": MistakeKind(0.15, frequency=0.35),
    "too_high": MistakeKind(0.15, frequency=0.25),
    "weak_grip": MistakeKind(1.0, "of the force", frequency=0.1),
    "slip": MistakeKind(120.0, "control steps", frequency=0.15),
    "give_up": MistakeKind(80.0, "control steps", frequency=0.15),
}
"""What can go wrong, by how much:

- off_target: m in the table's plane by which the objects and the goal are thought elsewhere.
- too_high: m by which they are thought higher up.
- weak_grip: share of the fingers' closing force that is missing.
- slip: control steps for which the operator does not notice that the fingers have opened, some
  time after they first closed.
- give_up: control steps of the first 100 that the operator does not stay for.
"""
_FIRST_STEPS = 100
"""Control steps in which Meta-World's policies have done most of their work."""
_STILL = 0.01
"""m of way of the hand within the patience, below which nothing more is to come of it."""
_OPEN = -1.0
_NEVER = 1_000_000

_FRAME = 18
"""Numbers of a frame in Meta-World's observation: hand and gripper, 4, and up to two objects."""
_FIRST_OBJECT = slice(4, 7)


Policy = Callable[[np.ndarray], np.ndarray]
"""(39,) observation of Meta-World -> (4,) action."""


def draw_personality(rng: np.random.Generator) -> Personality:
    """A person at random who stands between a policy and the robot."""
    across, along = rng.normal(0.0, 0.003, 2)
    return Personality(
        pace=rng.uniform(0.85, 1.0),
        tremor=rng.uniform(0.02, 0.08),
        tremor_memory=rng.uniform(0.7, 0.9),
        misjudgement=(across, along, 0.0),
        hesitation=int(rng.integers(5, 20)) if rng.random() < 0.3 else 0,
        hesitates_at=int(rng.integers(0, 25)),
        slips_after=int(rng.integers(5, 18)),
        patience=int(rng.integers(50, 80)),
    )


class MetaWorldOperator:
    """Gives actions for one episode, until `finished`.

    Args:
        policy: Meta-World's own for the task.
        personality: how to go about it.
        mistake: what to get wrong, if anything.
        rng: the hand's noise.
    """

    def __init__(
        self,
        policy: Policy,
        personality: Personality,
        mistake: Mistake | None,
        *,
        rng: np.random.Generator,
    ) -> None:
        self._policy, self._personality, self._mistake = policy, personality, mistake
        self._step = 0
        self._was_open, self._closed_at = False, _NEVER
        self._held = np.zeros(3)
        self._tremor = Tremor(personality, HAND_AXES, rng)
        self._offset = _offset(personality, mistake)
        self._path: deque[np.ndarray] = deque(maxlen=personality.patience)
        self._finished = False

    @classmethod
    def draw(
        cls, policy: Policy, rng: np.random.Generator, mistake_rate: float
    ) -> MetaWorldOperator:
        """An operator at random, who makes a mistake with the given probability."""
        personality = draw_personality(rng)
        mistake = draw_mistake(rng, MISTAKES) if rng.random() < mistake_rate else None
        return cls(policy, personality, mistake, rng=rng)

    @property
    def mistake(self) -> Mistake | None:
        """What this operator set out to get wrong."""
        return self._mistake

    @property
    def finished(self) -> bool:
        """Whether the operator has let go of the controls."""
        return self._finished

    def act(self, observation: Mapping[str, np.ndarray]) -> np.ndarray:
        """Next action, (4,) float32 in [-1, 1], from an observation of the task."""
        self._finished = self._gives_up() or self._is_stuck(observation["observation.state"][:3])
        wanted = self._ask(self._look(observation))
        motion = self._pace() * wanted[:3] + self._tremor.step()
        action = np.append(motion, self._grip(float(wanted[3])))
        self._step += 1
        return np.clip(action, -1.0, 1.0).astype(np.float32)

    def _size(self, kind: str) -> float:
        """Size of the mistake when it is of this kind, else 0."""
        return size_of(self._mistake, kind)

    def _ask(self, view: np.ndarray) -> np.ndarray:
        # Where the policies' wishes are beyond the range of actions they say so, every step.
        with warnings.catch_warnings(action="ignore"):
            return np.clip(self._policy(view), -1.0, 1.0)

    def _gives_up(self) -> bool:
        size = self._size("give_up")
        return bool(size) and self._step >= _FIRST_STEPS - size

    def _is_stuck(self, hand: np.ndarray) -> bool:
        self._path.append(hand)
        patient = len(self._path) < self._personality.patience
        return not patient and float(np.ptp(self._path, axis=0).max()) < _STILL

    def _pace(self) -> float:
        begin = self._personality.hesitates_at
        pauses = begin <= self._step < begin + self._personality.hesitation
        return 0.0 if pauses else self._personality.pace

    def _look(self, observation: Mapping[str, np.ndarray]) -> np.ndarray:
        """What the operator sees: while fingers slip, the first object still in them."""
        view = policy_view(observation, self._offset)
        if self._slips():
            view[_FIRST_OBJECT] = view[:3] + self._held
        else:
            self._held = view[_FIRST_OBJECT] - view[:3]
        return view

    def _slips(self) -> bool:
        since = self._step - self._closed_at - self._personality.slips_after
        return 0 <= since < self._size("slip")

    def _grip(self, wanted: float) -> float:
        """What the fingers do: they close with less force when weak, and open when they slip."""
        if self._was_open and wanted > 0 and self._closed_at == _NEVER:
            self._closed_at = self._step
        self._was_open = self._was_open or wanted <= 0
        if self._slips():
            return _OPEN
        return wanted * (1 - self._size("weak_grip")) if wanted > 0 else wanted


def _offset(personality: Personality, mistake: Mistake | None) -> np.ndarray:
    """m by which the operator sees the scene away from where it is, (3,)."""
    higher = np.array([0.0, 0.0, size_of(mistake, "too_high")])
    return personality.misjudgement + offset_of(mistake, "off_target") + higher


def policy_view(observation: Mapping[str, np.ndarray], offset: np.ndarray) -> np.ndarray:
    """What Meta-World's policies read, from what its tasks observe here.

    Args:
        observation: of a `MetaWorldTask`.
        offset: (3,) m added to the positions of objects and goal.

    Returns:
        (39,) Meta-World's own observation: the present frame, the one before, which no policy
        reads and which is therefore the present one again, and the goal.
    """
    objects, goal = np.split(observation["observation.environment_state"].astype(np.float64), [-3])
    frame = np.zeros(_FRAME)
    frame[:4] = observation["observation.state"]
    frame[4 : 4 + len(objects)] = objects
    for first in range(4, 4 + len(objects), 7):
        frame[first : first + 3] += offset
    return np.concatenate([frame, frame, goal + offset])

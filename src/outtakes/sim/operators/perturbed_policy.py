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
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from outtakes.errors import ConfigError, UnknownName

MistakeKind = Literal["off_target", "too_high", "weak_grip", "slip", "give_up"]
MISTAKE_KINDS: tuple[MistakeKind, ...] = get_args(MistakeKind)

# Gross enough to fail nearly always where the kind matters at all.
_LARGEST: Mapping[MistakeKind, float] = {
    "off_target": 0.15,
    "too_high": 0.15,
    "weak_grip": 1.0,
    "slip": 120.0,
    "give_up": 80.0,
}
_UNITS: Mapping[MistakeKind, str] = {
    "off_target": "m",
    "too_high": "m",
    "weak_grip": "of the force",
    "slip": "control steps",
    "give_up": "control steps",
}
# Fingers matter in some tasks only, so where the hand goes is got wrong more often.
_FREQUENCIES: Mapping[MistakeKind, float] = {
    "off_target": 0.35,
    "too_high": 0.25,
    "weak_grip": 0.1,
    "slip": 0.15,
    "give_up": 0.15,
}
_FIRST_STEPS = 100
"""Control steps in which Meta-World's policies have done most of their work."""
_STILL = 0.01
"""m of way of the hand within the patience, below which nothing more is to come of it."""
_OPEN = -1.0
_NEVER = 1_000_000

_FRAME = 18
"""Numbers of a frame in Meta-World's observation: hand and gripper, 4, and up to two objects."""
_FIRST_OBJECT = slice(4, 7)


@dataclass(frozen=True)
class MetaWorldMistake:
    """What goes wrong in an episode."""

    kind: MistakeKind
    size: float
    """How wrong; 0 is no mistake at all. By kind:

    - off_target: m in the table's plane by which the objects and the goal are thought elsewhere.
    - too_high: m by which they are thought higher up.
    - weak_grip: share of the fingers' closing force that is missing.
    - slip: control steps for which the operator does not notice that the fingers have opened,
      some time after they first closed.
    - give_up: control steps of the first 100 that the operator does not stay for.
    """
    direction: float = 0.0
    """rad in the table's plane, of the offset of off_target."""

    def __post_init__(self) -> None:
        if self.kind not in MISTAKE_KINDS:
            raise UnknownName("mistake", self.kind, MISTAKE_KINDS)
        if not self.size >= 0:
            raise ConfigError(f"mistake of size {self.size}", remedy="give a size of 0 or more")

    @property
    def share(self) -> float:
        """Size as a share of the largest of its kind, in [0, 1] when drawn."""
        return self.size / _LARGEST[self.kind]

    @property
    def unit(self) -> str:
        """Unit of the size."""
        return _UNITS[self.kind]

    @classmethod
    def draw(cls, rng: np.random.Generator) -> MetaWorldMistake:
        """Any kind, any size up to a gross one."""
        frequencies = [_FREQUENCIES[kind] for kind in MISTAKE_KINDS]
        kind = MISTAKE_KINDS[rng.choice(len(MISTAKE_KINDS), p=frequencies)]
        size = float(rng.uniform(0.0, _LARGEST[kind]))
        return cls(kind, size, direction=float(rng.uniform(0.0, 2 * np.pi)))


@dataclass(frozen=True)
class MetaWorldPersonality:
    """How one demonstration is carried out."""

    pace: float = 1.0
    """Share of the scripted policy's translation that the hand carries out."""
    tremor: float = 0.0
    """Standard deviation of the hand's noise, in units of the action."""
    tremor_memory: float = 0.9
    """Correlation of the hand's noise from one step to the next."""
    misjudgement: tuple[float, float] = (0.0, 0.0)
    """m in the table's plane by which the scene is thought to be elsewhere."""
    hesitation: int = 0
    """Control steps of one pause."""
    hesitates_at: int = 0
    """Control step at which it begins."""
    slips_after: int = 10
    """Control steps from the first closing of the fingers to a slip, if there is to be one."""
    patience: int = 60
    """Control steps without progress after which the operator lets go."""

    def __post_init__(self) -> None:
        if not 0 < self.pace <= 1:
            raise ConfigError(f"pace {self.pace}", remedy="give it in (0, 1]")
        if not 0 <= self.tremor_memory < 1:
            raise ConfigError(f"tremor memory {self.tremor_memory}", remedy="give it in [0, 1)")

    @classmethod
    def draw(cls, rng: np.random.Generator) -> MetaWorldPersonality:
        """A person at random."""
        across, along = rng.normal(0.0, 0.003, 2)
        return cls(
            pace=rng.uniform(0.85, 1.0),
            tremor=rng.uniform(0.02, 0.08),
            tremor_memory=rng.uniform(0.7, 0.9),
            misjudgement=(across, along),
            hesitation=int(rng.integers(5, 20)) if rng.random() < 0.3 else 0,
            hesitates_at=int(rng.integers(0, 25)),
            slips_after=int(rng.integers(5, 18)),
            patience=int(rng.integers(50, 80)),
        )


Policy = Callable[[np.ndarray], np.ndarray]
"""(39,) observation of Meta-World -> (4,) action."""


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
        personality: MetaWorldPersonality,
        mistake: MetaWorldMistake | None,
        *,
        rng: np.random.Generator,
    ) -> None:
        self._policy, self._personality, self._mistake = policy, personality, mistake
        self._rng = rng
        self._step = 0
        self._was_open, self._closed_at = False, _NEVER
        self._held = np.zeros(3)
        self._noise = np.zeros(3)
        self._offset = _offset(personality, mistake)
        self._path: deque[np.ndarray] = deque(maxlen=personality.patience)
        self._finished = False

    @classmethod
    def draw(
        cls, policy: Policy, rng: np.random.Generator, mistake_rate: float
    ) -> MetaWorldOperator:
        """An operator at random, who makes a mistake with the given probability."""
        personality = MetaWorldPersonality.draw(rng)
        mistake = MetaWorldMistake.draw(rng) if rng.random() < mistake_rate else None
        return cls(policy, personality, mistake, rng=rng)

    @property
    def mistake(self) -> MetaWorldMistake | None:
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
        motion = self._pace() * wanted[:3] + self._tremble()
        action = np.append(motion, self._grip(float(wanted[3])))
        self._step += 1
        return np.clip(action, -1.0, 1.0).astype(np.float32)

    def _size(self, kind: MistakeKind) -> float:
        """Size of the mistake when it is of this kind, else 0."""
        mistake = self._mistake
        return mistake.size if mistake is not None and mistake.kind == kind else 0.0

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

    def _tremble(self) -> np.ndarray:
        """First-order autoregressive noise of the hand, (3,)."""
        memory = self._personality.tremor_memory
        fresh = self._rng.normal(0.0, self._personality.tremor * np.sqrt(1 - memory**2), 3)
        self._noise = memory * self._noise + fresh
        return self._noise

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


def _offset(personality: MetaWorldPersonality, mistake: MetaWorldMistake | None) -> np.ndarray:
    """m by which the operator sees the scene away from where it is, (3,)."""
    offset = np.array([*personality.misjudgement, 0.0])
    if mistake is not None and mistake.kind == "off_target":
        offset[:2] += mistake.size * np.array(
            [np.cos(mistake.direction), np.sin(mistake.direction)]
        )
    if mistake is not None and mistake.kind == "too_high":
        offset[2] += mistake.size
    return offset


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

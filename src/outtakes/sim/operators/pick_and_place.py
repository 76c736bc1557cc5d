"""The plan of operators who take an object and put it somewhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

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
from outtakes.sim.operators.waypoints import (
    Leg,
    View,
    WaypointOperator,
    keep_turn,
    point_down,
    stay,
)

MISTAKES: MistakeKinds = {
    "off_centre": MistakeKind(0.055),
    "too_high": MistakeKind(0.055),
    "slip": MistakeKind(16.0, "control steps"),
    "misplace": MistakeKind(0.08),
    "drop_early": MistakeKind(0.15),
    "give_up": MistakeKind(0.15),
}
"""What can go wrong, by how much; a task may have other sizes.

- off_centre: m between where the fingers close and where they should.
- too_high: m above the right height where they close.
- slip: control steps for which the fingers open while the object is carried.
- misplace: m between where the object is put and where it should be.
- drop_early: m of way still to go when the fingers let go of the object.
- give_up: m of way still to go when the operator stops, object in hand.
"""
_RETRIES = 0.15
_HELD_WITHIN = 0.03


@dataclass(frozen=True)
class Errand:
    """What is to be taken, and where it is to be put; all in m."""

    grasp: Callable[[View], np.ndarray]
    """Where the fingers should close, (3,)."""
    place: Callable[[View], np.ndarray]
    """Where that same point of the object is to be let go of, (3,)."""
    carry_height: float
    """How far above `place` the object is carried."""
    raise_height: float
    """How far it is raised first."""
    placing_sd: float = 0.006
    """Standard deviation of the misjudgement of the place."""
    near_place: float = 0.012
    """How near to being over its place the object must be before it is lowered."""
    settle: int = 1
    """Control steps that the hand rests over the place at least."""
    roughness: float = 1.0
    """Misjudgement and tremor, as shares of the personality's."""
    grasp_turn: Callable[[View, View], np.ndarray] = point_down
    """Rotation vector of the hand for the grasp, (3,) rad."""
    carry_turn: Callable[[View, View], np.ndarray] = keep_turn
    """The same for the way."""
    retreat: float = 0.12
    """How far the hand draws back upwards at the end."""
    mistakes: MistakeKinds = field(default_factory=lambda: MISTAKES)
    """What can go wrong."""

    def draw_operator(self, rng: np.random.Generator, mistake_rate: float) -> WaypointOperator:
        """An operator at random, who makes a mistake with the given probability."""
        personality = Personality.draw(rng)
        mistake = draw_mistake(rng, self.mistakes) if rng.random() < mistake_rate else None
        return self.operator(rng, personality, mistake, retry=rng.random() < _RETRIES)

    def operator(
        self,
        rng: np.random.Generator,
        personality: Personality,
        mistake: Mistake | None,
        *,
        retry: bool = False,
    ) -> WaypointOperator:
        """An operator of this personality who makes this mistake."""
        misplacing = np.array([*rng.normal(0.0, self.placing_sd, 2), 0.0])
        person = personality.calmer(self.roughness)
        return WaypointOperator(
            lambda mistake: [
                *_pick(self, person, mistake),
                *_place(self, person, mistake, misplacing),
            ],
            person,
            mistake,
            retry=retry,
            rng=rng,
        )


def _pick(errand: Errand, person: Personality, mistake: Mistake | None) -> Sequence[Leg]:
    wrong = offset_of(mistake, "off_centre") + [0.0, 0.0, size_of(mistake, "too_high")]
    hover = np.array([0.0, 0.0, person.hover])

    def aim(view: View, start: View) -> np.ndarray:
        return errand.grasp(view) + person.misjudgement + wrong

    def above(view: View, start: View) -> np.ndarray:
        return aim(view, start) + hover

    def past(view: View, start: View) -> np.ndarray:
        way = above(start, start) - start.hand
        way[2] = 0.0
        return above(view, start) + person.overshoot * way / max(float(np.linalg.norm(way)), 1e-9)

    def raised(view: View, start: View) -> np.ndarray:
        return start.hand + [0.0, 0.0, errand.raise_height]

    turn = errand.grasp_turn
    overshoot = [Leg(past, near=0.02, turn=turn)] if person.overshoot else []
    return [
        *overshoot,
        Leg(above, near=person.care + 0.005, turn=turn, wait=person.hesitation),
        Leg(aim, near=0.006, patience=22, turn=turn),
        Leg(stay, closed=True, near=1.0, wait=person.squeeze + 3),
        Leg(
            raised,
            closed=True,
            pace=0.4 + person.lift_pace,
            near=0.02,
            went_wrong=lambda view: not _held(errand, view),
        ),
    ]


def _held(errand: Errand, view: View) -> bool:
    return bool(np.linalg.norm(errand.grasp(view) - view.hand) < _HELD_WITHIN)


def _place(
    errand: Errand, person: Personality, mistake: Mistake | None, misplacing: np.ndarray
) -> Sequence[Leg]:
    wrong = misplacing + offset_of(mistake, "misplace")
    carried = np.array([0.0, 0.0, errand.carry_height])

    def put(view: View, start: View) -> np.ndarray:
        # Puts the object there, not the hand, as long as the object is in hand.
        within = view.hand - errand.grasp(view) if _held(errand, view) else np.zeros(3)
        return errand.place(view) + within + wrong

    def over(view: View, start: View) -> np.ndarray:
        return put(view, start) + carried

    def back(view: View, start: View) -> np.ndarray:
        return start.hand + [0.0, 0.0, errand.retreat]

    turn, near = errand.carry_turn, errand.near_place
    release = [
        Leg(stay, near=1.0, wait=4),
        Leg(back, near=0.02, patience=30),
    ]
    short = max(size_of(mistake, "drop_early"), size_of(mistake, "give_up"))
    if short:
        stop = Leg(over, closed=True, near=max(short, near), turn=turn, patience=90)
        return [stop, *(release if size_of(mistake, "drop_early") else [])]
    opened = round(size_of(mistake, "slip"))
    slip = [Leg(over, near=0.0, turn=turn, patience=opened)] if opened else []
    return [
        *slip,
        Leg(over, closed=True, near=0.03, turn=turn, patience=90),
        Leg(over, closed=True, near=near, wait=errand.settle, turn=turn, patience=40),
        Leg(put, closed=True, pace=0.5, near=max(near / 2, 0.006), turn=turn, patience=30),
        *release,
    ]

"""The Door task of robosuite: a door with a latch is to be opened by its handle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from outtakes.sim.operators.demonstrator import Demonstrator
from outtakes.sim.operators.mistake import Mistake, MistakeKind, MistakeKinds, draw_mistake, size_of
from outtakes.sim.operators.personality import Personality
from outtakes.sim.operators.waypoints import Leg, View, WaypointOperator, point_down, stay
from outtakes.sim.robosuite.scenes import RobosuiteEnvironment, SceneSource
from outtakes.sim.robosuite.tabletop import TabletopTask, about_vertical

OPEN = 0.3
"""rad of the hinge from where robosuite calls the door open."""
START = np.array([[-0.13, -0.11], [-0.36, -0.34]])
"""m; from and to where the door stands along x, then along y."""
YAWS = (-np.pi / 2 - 0.25, -np.pi / 2)
"""rad; from and to how it is turned."""
HEIGHT = 1.1
"""m of its middle."""
MISTAKES: MistakeKinds = {
    "off_handle": MistakeKind(0.09),
    "half_pressed": MistakeKind(1.1, "rad"),
    "let_go": MistakeKind(0.2),
    "give_up": MistakeKind(0.2),
}
"""What can go wrong, by how much:

- off_handle: m towards the handle's end, or beyond, between where the fingers close and should.
- half_pressed: rad by which the handle is not pressed down.
- let_go: m of way still to pull when the fingers let go.
- give_up: m of way still to pull when the operator stops.
"""
_LEVER = 0.125
# The palm is wider than the gap between handle and panel.
_CLEAR_OF_PANEL = np.array([0.0, 0.021, 0.0])
_PRESS = 1.4
_AHEAD = 0.4
_PULL = 0.26
_ROUGHNESS = 0.5


def _may_stand_anywhere(environment: RobosuiteEnvironment) -> None:
    """Let the state say where the door stands, not the model that all environments share."""
    for body in environment.model.worldbody.iter("body"):
        if body.get("name") == "Door_main":
            body.set("mocap", "true")


def plan_of(person: Personality, mistake: Mistake | None) -> Sequence[Leg]:
    """Reach over the handle, take it, press it down, pull."""
    wrong = np.array([-size_of(mistake, "off_handle"), 0.0, 0.0])
    hover = np.array([0.0, 0.0, person.hover])
    press = max(0.0, _PRESS - size_of(mistake, "half_pressed"))
    short = max(size_of(mistake, "let_go"), size_of(mistake, "give_up"))

    def aim(view: View, start: View) -> np.ndarray:
        return view.objects[:3] + _CLEAR_OF_PANEL + person.misjudgement + wrong

    def above(view: View, start: View) -> np.ndarray:
        return aim(view, start) + hover

    def raised(view: View, start: View) -> np.ndarray:
        return np.array([*start.hand[:2], above(view, start)[2]])

    def pressed(view: View, start: View) -> np.ndarray:
        # Along the handle's own arc, a little ahead of where it is.
        now = view.objects[8]
        ahead = min(max(press, now), now + _AHEAD)
        arc = [np.cos(now) - np.cos(ahead), 0.0, np.sin(now) - np.sin(ahead)]
        return view.hand + _LEVER * np.array(arc)

    def pulled(view: View, start: View) -> np.ndarray:
        return start.hand + [0.0, _PULL - short, -0.05]

    turn = point_down
    legs = [
        Leg(raised, near=0.03, patience=30, turn=turn),
        Leg(above, near=person.care + 0.008, wait=person.hesitation, turn=turn),
        Leg(aim, near=0.008, patience=25, turn=turn),
        Leg(stay, closed=True, near=1.0, wait=person.squeeze + 3),
        Leg(pressed, closed=True, near=0.001, patience=32, turn=turn),
        Leg(pulled, closed=True, near=0.015, patience=50, turn=turn),
    ]
    return legs if not size_of(mistake, "let_go") else [*legs, Leg(stay, near=1.0, wait=10)]


class Door(TabletopTask):
    """One door with a latch; solved when its hinge is open by more than 0.3 rad.

    `observation.environment_state` (9,): position (m) and quaternion (w >= 0, first) of the handle,
    angles of the hinge and of the handle (rad).
    """

    name = "door"
    task = "open the door by its handle"
    own_horizon = 180
    source = SceneSource(
        module="door",
        environment="Door",
        overhead={"pos": "0.35 -0.1 1.9", "xyaxes": "0 1 0 -0.84 0 0.543", "fovy": "52"},
        adapt=_may_stand_anywhere,
    )
    standing = ("Door_main",)

    def __init__(self, horizon: int | None = None) -> None:
        super().__init__(horizon)
        self._latch = self._model.body("Door_latch").id
        self._handle = self._model.site("Door_handle").id
        joints = (self._model.joint(f"Door_{name}") for name in ("hinge", "latch_joint"))
        self._angles = [int(joint.qposadr[0]) for joint in joints]

    def sample_initial_state(self, rng: np.random.Generator) -> np.ndarray:
        """Arm near its home, door shut anywhere in its range and turned within 0.25 rad; (18,)."""
        arm = self._sample_arm(rng)
        x, y = rng.uniform(*START.T)
        turn = about_vertical(rng.uniform(*YAWS))
        return np.concatenate([arm, [0.0, 0.0], [x, y, HEIGHT], turn])

    def demonstrator(self, rng: np.random.Generator, mistake_rate: float) -> Demonstrator:
        """A scripted operator at random, who makes a mistake with the given probability."""
        personality = Personality.draw(rng).calmer(_ROUGHNESS)
        mistake = draw_mistake(rng, MISTAKES) if rng.random() < mistake_rate else None
        return WaypointOperator(
            lambda mistake: plan_of(personality, mistake),
            personality,
            mistake,
            retry=False,
            rng=rng,
        )

    def describe(self, features: Mapping[str, np.ndarray]) -> dict[str, float]:
        """Where the handle was at the start, `handle_x` and `handle_y` (m), and how far hinge and
        handle ever turned, `opened` and `pressed` (rad)."""
        objects = features["observation.environment_state"]
        return {
            "handle_x": float(objects[0, 0]),
            "handle_y": float(objects[0, 1]),
            "opened": float(objects[:, 7].max()),
            "pressed": float(np.abs(objects[:, 8]).max()),
        }

    def _observe_objects(self) -> np.ndarray:
        data = self._data
        handle = self._pose(self._latch)
        handle[:3] = data.site_xpos[self._handle]
        return np.concatenate([handle, data.qpos[self._angles]])

    def _solved(self) -> bool:
        return bool(self._data.qpos[self._angles[0]] > OPEN)

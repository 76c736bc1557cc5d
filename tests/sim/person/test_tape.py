"""The clock of a take keeps its rate, and its tape holds what the environment said."""

from __future__ import annotations

import numpy as np
import pytest

from outtakes.sim.collect import STEPS_AFTER_SUCCESS
from outtakes.sim.person import tape
from outtakes.sim.person.tape import Pace, Tape
from outtakes.sim.robosuite.lift import Lift


class Clock:
    """A clock that moves only when someone sleeps."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(tape, "time", clock)
    return clock


def test_steps_that_took_too_long_are_counted_and_made_up_for(clock):
    pace, begun = Pace(fps=20, due=0.0), []
    for took in [0.01, 0.09, 0.02, 0.0, 0.055, 0.05, 0.06]:
        clock.sleep(took)
        pace.wait()
        begun.append((round(clock.now, 9), pace.behind))
    # They are due every 50 ms, and late 12.5 ms after.
    assert [at for at, _ in begun] == [0.05, 0.14, 0.16, 0.2, 0.255, 0.305, 0.365]
    assert [behind for _, behind in begun] == [False, True, True, False, True, True, True]
    assert pace.late == 2


def test_after_a_long_halt_the_clock_starts_anew(clock):
    pace, begun = Pace(fps=20, due=0.0), []
    for took in [0.5, 0.01, 0.01]:
        clock.sleep(took)
        pace.wait()
        begun.append(round(clock.now, 9))
    assert begun == [0.5, 0.55, 0.6]
    assert pace.late == 1 and not pace.behind


def test_a_tape_holds_the_environments_own_words():
    lift, twin = Lift(), Lift()
    initial_state = lift.sample_initial_state(np.random.default_rng(0))
    actions = np.random.default_rng(1).uniform(-1, 1, (6, 7)).astype(np.float32)
    lift.reset(initial_state)
    twin.reset(initial_state)
    film = Tape(steps_left=10)
    for action in actions:
        film.step(lift, action)
    features = film.features()
    assert film.steps_left == 4 and not film.solved
    for frame, action in enumerate(actions):
        for name, value in twin.observe().items():
            assert np.array_equal(features[name][frame], value)
        assert features["next.success"][frame] == twin.step(action)
    assert np.array_equal(features["action"], actions)


def test_a_tape_ends_soon_after_the_task_is_solved():
    lift = Lift()
    rng = np.random.default_rng(0)
    solved = None
    while solved is None:
        lift.reset(lift.sample_initial_state(rng))
        operator, film = lift.demonstrator(rng, 0.0), Tape(lift.horizon)
        while film.steps_left > 0 and not operator.finished:
            film.step(lift, operator.act(lift.observe()))
        solved = film if film.solved and film.steps_left == 0 else None
    success = solved.features()["next.success"]
    assert len(success) == np.argmax(success) + 1 + STEPS_AFTER_SUCCESS

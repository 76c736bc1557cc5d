"""The scripted demonstrator on the real simulation."""

from __future__ import annotations

import numpy as np
import pytest

from outtakes.errors import ConfigError, UnknownName
from outtakes.sim.operators.lifting import MISTAKES, LiftOperator
from outtakes.sim.operators.mistake import Mistake, draw_mistake, make_mistake
from outtakes.sim.operators.personality import Personality
from outtakes.sim.robosuite.lift import Lift


@pytest.fixture(scope="module")
def lift() -> Lift:
    return Lift()


def demonstrate(lift: Lift, operator: LiftOperator, seed: int) -> tuple[bool, np.ndarray]:
    """Whether it succeeded, and its actions."""
    lift.reset(lift.sample_initial_state(np.random.default_rng(seed)))
    actions, solved = [], False
    while not (operator.finished or solved or len(actions) == lift.horizon):
        actions.append(operator.act(lift.observe()))
        solved = lift.step(actions[-1])
    return solved, np.array(actions)


def drawn(seed: int, mistake: Mistake | None) -> LiftOperator:
    rng = np.random.default_rng(seed)
    return LiftOperator(Personality.draw(rng), mistake, retry=False, rng=rng)


def success_rate(lift: Lift, kind: str, share: float, episodes: int = 12) -> float:
    results = []
    for seed in range(episodes):
        direction = np.random.default_rng(seed).uniform(0, 2 * np.pi)
        operator = drawn(seed, make_mistake(MISTAKES, kind, share, direction))
        results.append(demonstrate(lift, operator, seed)[0])
    return float(np.mean(results))


def test_without_mistakes_it_succeeds_nearly_always_and_at_a_human_pace(lift):
    episodes = [demonstrate(lift, drawn(seed, None), seed) for seed in range(40)]
    assert np.mean([success for success, _ in episodes]) >= 0.97
    lengths = [len(actions) for _, actions in episodes]
    assert 40 <= np.median(lengths) <= 80
    assert max(lengths) <= 110


@pytest.mark.parametrize("kind", MISTAKES)
def test_trivial_mistakes_mostly_succeed_and_gross_ones_mostly_fail(lift, kind):
    assert success_rate(lift, kind, 0.02) >= 0.8
    assert success_rate(lift, kind, 1.0) <= 0.6


def test_no_two_draws_are_alike_but_one_seed_gives_one_episode(lift):
    def actions(seed: int) -> np.ndarray:
        operator = LiftOperator.draw(np.random.default_rng(seed), mistake_rate=0.5)
        return demonstrate(lift, operator, seed=0)[1]

    assert np.array_equal(actions(3), actions(3))
    assert not np.array_equal(actions(3)[:10], actions(4)[:10])


def test_actions_are_valid(lift):
    operator = LiftOperator(
        Personality(tremor=0.1), None, retry=False, rng=np.random.default_rng(0)
    )
    _, actions = demonstrate(lift, operator, seed=1)
    assert actions.dtype == np.float32
    assert np.abs(actions).max() <= 1


def test_a_retry_can_save_an_episode(lift):
    mistake = make_mistake(MISTAKES, "too_high", 0.9)

    def rate(retry: bool) -> float:
        rngs = [np.random.default_rng(seed) for seed in range(12)]
        operators = [LiftOperator(Personality(), mistake, retry=retry, rng=rng) for rng in rngs]
        results = [demonstrate(lift, op, seed)[0] for seed, op in enumerate(operators)]
        return float(np.mean(results))

    assert rate(retry=True) > rate(retry=False) + 0.3


def test_mistakes_are_drawn_over_all_kinds_and_sizes():
    rng = np.random.default_rng(0)
    mistakes = [draw_mistake(rng, MISTAKES) for _ in range(2000)]
    for kind in MISTAKES:
        sizes = [mistake.size for mistake in mistakes if mistake.kind == kind]
        assert len(sizes) > 100
        assert min(sizes) < 0.05 * max(sizes)


def test_mistake_rate_is_the_share_of_mistakes():
    rng = np.random.default_rng(0)
    made = [LiftOperator.draw(rng, 0.3).mistake is not None for _ in range(2000)]
    assert np.mean(made) == pytest.approx(0.3, abs=0.04)


def test_impossible_settings_are_named():
    with pytest.raises(UnknownName, match="did you mean 'push'"):
        make_mistake(MISTAKES, "pusch", 0.1)
    with pytest.raises(ConfigError, match=r"size -0\.12"):
        make_mistake(MISTAKES, "push", -1.0)
    with pytest.raises(ConfigError, match="pace"):
        Personality(pace=0.0)
    with pytest.raises(ConfigError, match="tremor_memory"):
        Personality(tremor_memory=1.0)

import numpy as np
import pytest
import torch

from outtakes.errors import ConfigError
from outtakes.evaluation.controller import ControllerConfig
from outtakes.evaluation.rolling_out import roll_out
from outtakes.evaluation.rollouts import Rollout
from outtakes.policy.agent import Agent
from outtakes.sim.environment import Environment
from outtakes.sim.initial_states import InitialStates, Stream
from outtakes.sim.robosuite.lift import Lift
from tests.evaluation.lift_agent import CHUNK, SUCCESSES, make_lift_agent
from tests.policy.flow.small import small_afil, small_flow

STATES = InitialStates(Stream.EVALUATE, seed=0)
COUNT = 60
HORIZON = 10
CUBE_HEIGHT = 11
"""Place of the cube's height in Lift's initial state."""

Trace = dict[tuple[int, int], bytes]
"""(initial state, step) -> everything the environment showed before that step."""


@pytest.fixture(scope="module")
def environments() -> list[Environment]:
    return [Lift(horizon=HORIZON) for _ in range(COUNT)]


@pytest.fixture(scope="module")
def states(environments) -> np.ndarray:
    """Initial states; in every third the cube hangs in the air, at once high enough."""
    states = STATES.first(environments[0], COUNT)
    states[::3, CUBE_HEIGHT] += np.linspace(0.03, 0.2, len(states[::3]))
    return states


def run(environments, states, **settings) -> tuple[list[Rollout], Trace]:
    trace: Trace = {}

    def watch(index: int, step: int, environment: Environment) -> None:
        trace[index, step] = b"".join(value.tobytes() for value in environment.observe().values())

    rollouts = roll_out(
        settings.pop("agent", None) or make_lift_agent(),
        environments,
        states,
        arm="act-pb/low",
        seed=7,
        config=settings.pop("config", ControllerConfig(replan=CHUNK)),
        drawn_from=str(STATES),
        watch=watch,
        **settings,
    )
    return rollouts, trace


@pytest.fixture(scope="module")
def expected(environments, states) -> tuple[list[Rollout], Trace]:
    return run(environments, states)


def test_every_initial_state_is_run_once_and_some_succeed(expected):
    rollouts, trace = expected
    assert [r.initial_state for r in rollouts] == list(range(COUNT))
    assert {(r.arm, r.seed, r.drawn_from) for r in rollouts} == {("act-pb/low", 7, "evaluate/0")}
    assert 5 < sum(r.success for r in rollouts) < COUNT / 2
    for r in rollouts:
        assert r.success or r.steps == HORIZON
        assert [(r.initial_state, s) in trace for s in range(HORIZON)].count(True) == r.steps
        assert r.retrieved_episode in range(0, 3 * SUCCESSES, 3)
    assert len({r.retrieved_episode for r in rollouts}) > 1


@pytest.mark.parametrize("count", [1, 7, 25])
def test_the_number_of_environments_changes_nothing(environments, states, expected, count):
    assert run(environments[:count], states) == expected


@pytest.mark.parametrize("config", [small_flow(), small_afil()])
def test_nor_where_actions_are_sampled_from_noise(environments, states, config):
    sizes = make_lift_agent().policy.sizes
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        agent = Agent(config.build(sizes), make_lift_agent().normalizer)
    some = {"agent": agent, "indices": [0, 1, 24, 25, 59]}
    expected = run(environments[:4], states, **some)
    assert run(environments[:1], states, **some) == expected
    assert run(environments[:3], states, **some | {"indices": [25, 59]})[1].items() <= (
        expected[1].items()
    )


@pytest.mark.parametrize("indices", [[59], [0, 24, 25, 50], [31, 2, 30], list(range(20, 45))])
def test_the_other_initial_states_change_nothing(environments, states, expected, indices):
    rollouts, trace = run(environments[:4], states, indices=indices)
    assert sorted(r.initial_state for r in rollouts) == sorted(indices)
    assert all(rollout == expected[0][rollout.initial_state] for rollout in rollouts)
    assert trace == {key: seen for key, seen in expected[1].items() if key[0] in indices}


def test_environments_used_before_change_nothing(environments, states, expected):
    run(environments[:5], states[::-1], indices=range(5))
    assert run(environments, states) == expected


@pytest.mark.parametrize("ensemble", [None, 0.1])
def test_one_rollout_is_what_a_plain_loop_over_the_simulation_gives(environments, states, ensemble):
    agent, config = make_lift_agent(), ControllerConfig(replan=2, ensemble=ensemble)
    index = 4
    rollouts, trace = run(environments[:1], states, agent=agent, config=config, indices=[index])
    environment = Lift(horizon=HORIZON)
    environment.reset(states[index])
    first = {name: value[None] for name, value in environment.observe().items()}
    steering, chunks, solved = agent.begin(first), {}, False
    for step in range(HORIZON):
        seen = environment.observe()
        recorded = np.frombuffer(trace[index, step], np.float32)
        assert np.allclose(np.concatenate(list(seen.values())), recorded, atol=1e-4)
        raw = {name: value[None] for name, value in seen.items()}
        chunks[step] = agent.predict(raw, steering)[0]
        if ensemble is None:
            action = chunks[step // 2 * 2][step % 2]
        else:
            live = [s for s in sorted(chunks) if step - s < CHUNK]
            weights = np.exp(-ensemble * np.arange(len(live)))
            action = np.average([chunks[s][step - s] for s in live], axis=0, weights=weights)
        solved = environment.step(action)
    assert rollouts[0].success == solved
    assert rollouts[0].retrieved_episode == int(steering.episodes[0])


def test_a_policy_with_a_camera_is_given_its_images(environments, states):
    agent = make_lift_agent(cameras=("overhead",))
    rollouts, _ = run(environments[:2], states, agent=agent, indices=[1, 2], image_size=64)
    assert [r.initial_state for r in rollouts] == [1, 2]
    assert all(r.retrieved_episode in range(0, 3 * SUCCESSES, 3) for r in rollouts)


def test_a_chunk_too_short_for_the_plan_is_refused(environments, states):
    with pytest.raises(ConfigError, match="replan"):
        run(environments, states, config=ControllerConfig(replan=CHUNK + 1))

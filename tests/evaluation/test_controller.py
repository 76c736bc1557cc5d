import math

import numpy as np
import pytest

from outtakes.errors import ConfigError
from outtakes.evaluation.controller import ROWS, ChunkController, ControllerConfig
from tests.evaluation.lift_agent import ACTION, CHUNK, lift_observation, make_lift_agent

SLOTS = np.array([3, 0, 24])
STEPS = 2 * CHUNK + 3


@pytest.fixture(scope="module")
def agent():
    return make_lift_agent()


@pytest.fixture(scope="module")
def observations() -> list[dict[str, np.ndarray]]:
    """What three environments show at each step."""
    rng = np.random.default_rng(1)
    return [
        {
            name: (value + 0.1 * rng.normal(size=(3, len(value)))).astype(np.float32)
            for name, value in lift_observation().items()
        }
        for _ in range(STEPS)
    ]


def predict_alone(agent, observations, row: int) -> list[np.ndarray]:
    """(L, A) chunk of one environment asked at every step, as if there were no other."""
    alone = [{name: a[row : row + 1] for name, a in raw.items()} for raw in observations]
    steering = agent.begin(alone[0])
    return [agent.predict(raw, steering)[0] for raw in alone]


def drive(controller: ChunkController, observations) -> np.ndarray:
    """(steps, n, A) actions."""
    return np.stack(
        [
            controller.act(step, raw if controller.needs_observation(step) else None)
            for step, raw in enumerate(observations)
        ]
    )


@pytest.mark.parametrize("replan", [1, 2, CHUNK])
def test_a_chunk_is_executed_until_it_is_time_to_ask_again(agent, observations, replan):
    controller = ChunkController(agent, ControllerConfig(replan=replan), SLOTS)
    asked = [step for step in range(STEPS) if controller.needs_observation(step)]
    assert asked == list(range(0, STEPS, replan))
    actions = drive(controller, observations)
    assert actions.shape == (STEPS, 3, ACTION)
    for row in range(3):
        chunks = predict_alone(agent, observations, row)
        for step in range(STEPS):
            expected = chunks[step // replan * replan][step % replan]
            assert np.allclose(actions[step, row], expected, atol=1e-5)


@pytest.mark.parametrize("coefficient", [0.0, 0.01, 1.0])
def test_ensembling_is_the_weighted_mean_of_all_that_was_predicted_for_a_step(
    agent, observations, coefficient
):
    config = ControllerConfig(ensemble=coefficient)
    actions = drive(ChunkController(agent, config, SLOTS), observations)
    for row in range(3):
        chunks = predict_alone(agent, observations, row)
        for step in range(STEPS):
            total, weights = np.zeros(ACTION), 0.0
            # ACT weighs the oldest prediction most: i counts from it.
            oldest = max(0, step - CHUNK + 1)
            for i, asked in enumerate(range(oldest, step + 1)):
                weight = math.exp(-coefficient * i)
                total += weight * chunks[asked][step - asked]
                weights += weight
            assert np.allclose(actions[step, row], total / weights, atol=1e-5)


def test_the_slot_of_an_environment_does_not_depend_on_its_company(agent, observations):
    config = ControllerConfig(replan=2)
    together = drive(ChunkController(agent, config, SLOTS), observations)
    for row, slot in enumerate(SLOTS):
        own = [{name: a[row : row + 1] for name, a in raw.items()} for raw in observations]
        alone = drive(ChunkController(agent, config, np.array([slot])), own)
        assert np.array_equal(alone[:, 0], together[:, row])


def test_the_bias_is_chosen_at_the_first_step_and_kept(agent, observations):
    controller = ChunkController(agent, ControllerConfig(replan=1), SLOTS)
    drive(controller, observations)
    expected = agent.begin(observations[0]).episodes
    assert controller.retrieved_episodes().tolist() == expected.tolist()
    later = [agent.begin(raw).episodes.tolist() for raw in observations]
    assert any(episodes != expected.tolist() for episodes in later)


def test_the_steering_reaches_the_agent(agent, observations):
    first, every = (
        drive(ChunkController(agent, ControllerConfig(1, steering=n), SLOTS), observations[:1])
        for n in ("nearest", "mean")
    )
    steering = agent.begin(observations[0], "mean")
    assert np.allclose(every[0], agent.predict(observations[0], steering)[:, 0], atol=1e-5)
    assert np.abs(first - every).max() > 1e-4


def test_without_bias_there_is_nothing_to_retrieve(observations):
    agent = make_lift_agent("none")
    controller = ChunkController(agent, ControllerConfig(replan=1), SLOTS)
    drive(controller, observations[:1])
    assert controller.retrieved_episodes().tolist() == [-1, -1, -1]


def test_more_steps_than_a_chunk_has_are_refused(agent):
    with pytest.raises(ConfigError, match=f"replan {CHUNK + 1} .* at most {CHUNK}"):
        ChunkController(agent, ControllerConfig(replan=CHUNK + 1), SLOTS)
    ChunkController(agent, ControllerConfig(replan=CHUNK), SLOTS)
    ChunkController(agent, ControllerConfig(replan=100, ensemble=0.01), SLOTS)


@pytest.mark.parametrize("bad", [{"replan": 0}, {"replan": -3}])
def test_settings_that_cannot_work_are_refused(bad):
    with pytest.raises(ConfigError, match=next(iter(bad))):
        ControllerConfig(**bad)


def test_there_are_slots_for_every_initial_state_of_a_block():
    assert SLOTS.max() < ROWS

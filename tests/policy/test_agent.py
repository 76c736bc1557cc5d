import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from outtakes.data.demo import DemoSet, Outcome
from outtakes.data.normalize import Normalizer
from outtakes.errors import ConfigError, UnknownName
from outtakes.policy.agent import Agent
from outtakes.policy.checkpoint import Checkpoint
from outtakes.policy.policy import Steering
from tests import naive
from tests.demos import make_demos, small_act, train_small


def first_observations(demos: DemoSet, episodes: list[int]) -> dict[str, np.ndarray]:
    rows = [int(demos.starts[list(demos.episode_indices).index(e)]) for e in episodes]
    raw = {
        "observation.state": demos.state[rows],
        "observation.environment_state": demos.environment_state[rows],
    }
    return raw | {f"observation.images.{c}": frames[rows] for c, frames in demos.images.items()}


def condition(steering: Steering) -> torch.Tensor:
    """(B, L, P) what steers."""
    assert steering.condition is not None
    return steering.condition


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A run folder, and nothing of the data it was made from."""
    folder = tmp_path_factory.mktemp("run")
    train_small(folder / "first", steps=5)
    shutil.move(folder / "first", folder / "moved")
    return folder / "moved"


@pytest.fixture(scope="module")
def agent(run) -> Agent:
    return Checkpoint.load(run).agent()


def test_the_first_observation_of_a_success_retrieves_that_success(agent):
    demos = make_demos()
    episodes = demos.episodes(Outcome.SUCCESS)
    steering = agent.begin(first_observations(demos, episodes))
    assert steering.episodes.tolist() == episodes


def test_its_parametric_bias_is_that_of_the_training_table(run, agent):
    demos = make_demos()
    episodes = demos.episodes(Outcome.SUCCESS)
    steering = agent.begin(first_observations(demos, episodes))
    table = Checkpoint.load(run).tensors["policy.bias.table"]
    assert table.abs().sum() > 0
    assert torch.equal(condition(steering), table[torch.from_numpy(demos.successes)])


def test_every_row_retrieves_for_itself(agent):
    demos = make_demos()
    episodes = [8, 0, 4, 0, 0, 8]
    together = agent.begin(first_observations(demos, episodes))
    assert together.episodes.tolist() == episodes
    for row, episode in enumerate(episodes):
        alone = agent.begin(first_observations(demos, [episode]))
        assert torch.equal(condition(alone)[0], condition(together)[row])


def test_failures_are_never_retrieved(agent):
    demos = make_demos()
    steering = agent.begin(first_observations(demos, demos.episodes(Outcome.FAILURE)))
    assert set(steering.episodes) <= set(demos.episodes(Outcome.SUCCESS))


def test_the_mean_of_all_successes_can_steer(run, agent):
    demos = make_demos()
    raw = first_observations(demos, [0, 4])
    own = Checkpoint.load(run).tensors["policy.bias.table"][torch.from_numpy(demos.successes)]
    steering = agent.begin(raw, "mean")
    assert torch.allclose(condition(steering), own.mean(dim=0).expand(2, -1, -1), atol=1e-7)
    assert steering.episodes.tolist() == [0, 4]


def test_the_mean_of_all_takes_the_failures_in(run, agent):
    raw = first_observations(make_demos(), [0, 4])
    own = Checkpoint.load(run).tensors["policy.bias.table"]
    steering = agent.begin(raw, "mean-of-all")
    assert torch.allclose(condition(steering), own.mean(dim=0).expand(2, -1, -1), atol=1e-7)
    assert not torch.allclose(condition(steering), condition(agent.begin(raw, "mean")), atol=1e-4)
    assert steering.episodes.tolist() == [-1, -1]
    assert agent.predict(raw, steering).shape == (2, agent.chunk, 2)


def test_zero_steers_as_no_bias_does(agent):
    raw = first_observations(make_demos(), [0, 4])
    steering = agent.begin(raw, "zero")
    assert steering.episodes.tolist() == [-1, -1]
    unsteered = agent.predict(raw, Steering(None, steering.episodes))
    assert np.array_equal(agent.predict(raw, steering), unsteered)
    assert np.abs(agent.predict(raw, agent.begin(raw)) - unsteered).max() > 1e-4


def test_without_a_word_the_nearest_success_steers(agent):
    raw = first_observations(make_demos(), [0, 2, 4])
    assert torch.equal(condition(agent.begin(raw)), condition(agent.begin(raw, "nearest")))


def test_an_unknown_steering_is_refused_with_the_list(agent):
    with pytest.raises(UnknownName, match="one of mean, mean-of-all, nearest, nearest-<n>, zero"):
        agent.begin(first_observations(make_demos(), [0]), "farthest")


def test_retrieval_through_a_camera(tmp_path):
    demos = make_demos(2, 1, camera=True)
    act = small_act(cameras=("overhead",))
    train_small(tmp_path, demos, policy=act, steps=1, batch_size=2)
    agent = Checkpoint.load(tmp_path).agent()
    raw = first_observations(demos, demos.episodes(Outcome.SUCCESS))
    blind = {name: np.zeros_like(array) for name, array in raw.items() if "images" not in name}
    assert agent.cameras == ("overhead",)
    assert agent.begin(raw | blind).episodes.tolist() == demos.episodes(Outcome.SUCCESS)


def test_actions_are_those_of_the_paper_in_the_units_of_the_robot(run, agent):
    demos = make_demos()
    raw = first_observations(demos, [2, 6])
    steering = agent.begin(raw)
    chunks = agent.predict(raw, steering)
    normalizer, policy = Normalizer.of(demos), Checkpoint.load(run).policy()
    parameters = naive.parameters_of(policy)
    mean, deviation = demos.action.mean(axis=0), demos.action.std(axis=0)
    for row in range(2):
        state = normalizer.state.standardise(torch.from_numpy(raw["observation.state"][row]))
        environment_state = normalizer.environment_state.standardise(
            torch.from_numpy(raw["observation.environment_state"][row])
        )
        seen = (state.numpy(), environment_state.numpy(), condition(steering)[row].double().numpy())
        standardised, _ = naive.act(parameters, policy.config, *seen)
        assert chunks.dtype == np.float32
        assert np.allclose(chunks[row], standardised * deviation + mean, atol=1e-5)


def test_another_bias_is_another_action(agent):
    raw = first_observations(make_demos(), [0])
    steering = agent.begin(raw)
    pushed = Steering(condition(steering) + 1, steering.episodes)
    assert np.abs(agent.predict(raw, steering) - agent.predict(raw, pushed)).max() > 1e-3


@pytest.mark.parametrize("told_by", ["label", "none"])
def test_without_parametric_bias_nothing_is_retrieved(tmp_path, told_by):
    checkpoint = train_small(tmp_path, policy=small_act(condition=told_by), steps=1)
    agent = Checkpoint.load(tmp_path).agent()
    raw = first_observations(make_demos(), [0, 2])
    steering = agent.begin(raw)
    assert not checkpoint.owned("memory")
    assert steering.condition is None
    assert steering.episodes.tolist() == [-1, -1]
    assert agent.predict(raw, steering).shape == (2, 5, 2)


def test_it_acts_without_dropout(tmp_path):
    train_small(tmp_path, policy=small_act(dropout=0.5), steps=1)
    agent = Checkpoint.load(tmp_path).agent()
    raw = first_observations(make_demos(), [0, 2])
    steering = agent.begin(raw)
    assert np.array_equal(agent.predict(raw, steering), agent.predict(raw, steering))


def test_observations_of_another_size_are_refused_in_one_line(agent):
    raw = first_observations(make_demos(), [0])
    raw["observation.state"] = np.zeros((1, 14), np.float32)
    with pytest.raises(ConfigError, match=r"observation\.state has 14 values, .* trained on 4"):
        agent.begin(raw)

"""What any family of policies gets by keeping to the protocol, shown by a toy."""

import sys

import numpy as np
import pytest
import torch

from outtakes.data.observation import Observation, Sizes
from outtakes.errors import CheckpointError, ConfigError
from outtakes.policy.checkpoint import Checkpoint
from tests.demos import make_demos, train_small
from tests.policy.toy import Blur, ToyConfig

NOISY = ToyConfig(chunk=3, blur=Blur(noise=0.5))


@pytest.fixture(autouse=True)
def installed(toy_installed: None) -> None:
    """Every test here knows the toy."""


def observations(count: int = 2) -> dict[str, np.ndarray]:
    demos = make_demos()
    return {
        "observation.state": demos.state[:count],
        "observation.environment_state": demos.environment_state[:count],
    }


def test_it_learns(tmp_path):
    losses = []
    train_small(
        tmp_path,
        policy=ToyConfig(chunk=3),
        steps=60,
        learning_rate=0.1,
        monitor=lambda _, scalars: losses.append(scalars["loss/square"]),
    )
    assert losses[-1] < 0.5 * losses[0]


def test_stopped_and_called_again_it_ends_bitwise_where_it_would_have(tmp_path):
    train_small(tmp_path / "a", policy=NOISY, steps=2)
    resumed = train_small(tmp_path / "a", policy=NOISY, steps=5)
    unbroken = train_small(tmp_path / "b", policy=NOISY, steps=5)
    assert resumed.tensors.keys() == unbroken.tensors.keys()
    for name, tensor in resumed.tensors.items():
        assert torch.equal(tensor, unbroken.tensors[name]), name


def test_it_comes_back_from_disk_and_acts_in_the_units_of_the_robot(tmp_path):
    trained = train_small(tmp_path, policy=NOISY)
    loaded = Checkpoint.load(tmp_path)
    assert loaded.config == NOISY
    agent, raw = loaded.agent(), observations()
    steering = agent.begin(raw)
    assert steering.condition is None and steering.episodes.tolist() == [-1, -1]
    chunks = agent.predict(raw, steering)
    assert chunks.shape == (2, 3, 2)
    assert np.array_equal(chunks, trained.agent().predict(raw, steering))
    normalizer = loaded.normalizer()
    state = normalizer.state.standardise(torch.from_numpy(raw["observation.state"]))
    tensors = loaded.owned("policy")
    line = state @ tensors["line.weight"].T + tensors["line.bias"]
    expected = normalizer.action.restore(tensors["gain"] * line)
    assert torch.allclose(torch.from_numpy(chunks[:, 0]), expected, atol=1e-5)


def test_a_run_of_other_settings_is_refused(tmp_path):
    train_small(tmp_path, policy=NOISY, steps=1)
    with pytest.raises(CheckpointError, match="another policy"):
        train_small(tmp_path, policy=ToyConfig(chunk=3, blur=Blur(noise=0.4)), steps=1)


def test_one_that_is_not_installed_any_more_is_refused_in_one_line(tmp_path, monkeypatch, toy_site):
    train_small(tmp_path, policy=NOISY, steps=1)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path != str(toy_site)])
    with pytest.raises(CheckpointError, match=r"not installed \(unknown policy 'toy'") as error:
        Checkpoint.load(tmp_path)
    assert "\n" not in str(error.value)


def test_a_policy_that_takes_no_steering_says_so():
    config = ToyConfig()
    assert config.steering("mean") == ""
    policy = config.build(Sizes(2, 4, 3, 2))
    seen = Observation(torch.zeros(2, 4), torch.zeros(2, 3), {})
    with pytest.raises(ConfigError, match="steering 'mean' of a policy that takes none"):
        policy.begin(seen, "mean")


def test_a_chunk_without_a_step_is_refused():
    with pytest.raises(ConfigError, match="chunk 0"):
        ToyConfig(chunk=0)

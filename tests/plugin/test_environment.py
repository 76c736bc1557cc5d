"""The simulated tasks as lerobot-eval drives them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from gymnasium.vector import SyncVectorEnv
from lerobot.envs import make_env, preprocess_observation
from lerobot.envs.utils import NEW_ROLLOUT_OPTION, env_to_policy_features

from lerobot_env_outtakes import OuttakesEnvConfig, SimulatedTask
from outtakes.data.demo import Demo
from outtakes.data.lerobot.read import read_dataset
from outtakes.data.reading import Reading
from outtakes.errors import ConfigError, UnknownName
from outtakes.sim.environment import make_environment
from outtakes.sim.initial_states import InitialStates, Stream

STILL = np.zeros(7, dtype=np.float32)


def make_task(**settings) -> SimulatedTask:
    """Lift, seen by no camera unless told otherwise."""
    return SimulatedTask(**{"task": "lift", "cameras": [], **settings})


def side_by_side(config: OuttakesEnvConfig, count: int) -> SyncVectorEnv:
    """So many environments as lerobot-eval makes them."""
    envs = make_env(config, n_envs=count)["outtakes"][0]
    assert isinstance(envs, SyncVectorEnv)
    return envs


def test_a_seed_is_the_place_in_the_list_of_initial_states_that_evaluation_uses():
    task, simulation = make_task(), make_environment("lift")
    for seed, state in enumerate(InitialStates(Stream.EVALUATE, seed=0).first(simulation, 3)):
        simulation.reset(state)
        expected = simulation.observe()
        observation, info = task.reset(seed=seed)
        assert np.array_equal(observation["agent_pos"], expected["observation.state"])
        poses = expected["observation.environment_state"]
        assert np.array_equal(observation["environment_state"], poses)
        assert info == {"is_success": False}


def test_without_a_seed_every_episode_starts_elsewhere_yet_the_first_seed_decides_where():
    def starts() -> list[np.ndarray]:
        task = make_task()
        task.reset(seed=5)
        return [task.reset()[0]["environment_state"] for _ in range(2)]

    first, second = starts()
    assert not np.array_equal(first, second)
    assert np.array_equal([first, second], starts())


def test_the_action_that_solves_the_task_ends_the_episode(lift: Path, tmp_path: Path):
    demos = read_dataset(lift, Reading(cameras=()), cache_dir=tmp_path)
    success = demos[int(np.flatnonzero(demos.successes)[0])]
    task = make_task()
    task.reset(seed=0)
    task._simulation.reset(beginning(success))
    steps = [task.step(action) for action in success.action]
    solved = [terminated for _, _, terminated, _, _ in steps]
    assert any(solved) and not solved[0]
    assert [reward for _, reward, _, _, _ in steps] == [float(now) for now in solved]
    assert [info["is_success"] for *_, info in steps] == solved


def beginning(demo: Demo) -> np.ndarray:
    """The initial state of an episode of Lift, which its first observation tells."""
    state = make_environment("lift").sample_initial_state(np.random.default_rng(0))
    state[:7], state[9:] = demo.state[0, :7], demo.environment_state[0]
    return state


def test_an_episode_is_cut_off_at_its_length():
    task = make_task(episode_length=2)
    task.reset(seed=0)
    assert task.step(STILL)[2:4] == (False, False)
    assert task.step(STILL)[2:4] == (False, True)


def test_observations_fit_the_spaces_and_reach_the_policy_by_its_names():
    config = OuttakesEnvConfig(task="lift", image_size=32, cameras=["overhead"])
    assert config.fps == 20
    envs = side_by_side(config, 2)
    observation, _ = envs.reset(seed=[0, 1])
    assert envs.observation_space.contains(observation)
    seen = preprocess_observation(observation)
    wanted = env_to_policy_features(config)
    assert {name: tuple(value.shape[1:]) for name, value in seen.items()} == {
        name: tuple(feature.shape) for name, feature in wanted.items() if name != "action"
    }
    assert wanted["action"].shape == (7,)
    assert list(envs.call("task_description")) == ["lift the red cube"] * 2
    envs.close()


@pytest.mark.parametrize("task", ["door", "metaworld-reach-v3"])
def test_every_task_of_outtakes_is_there(task: str):
    simulation, config = make_environment(task), OuttakesEnvConfig(task=task, cameras=[])
    simulation.reset(InitialStates(Stream.EVALUATE, seed=0).at(simulation, 0))
    envs = side_by_side(config, 1)
    observation, _ = envs.reset(seed=[0])
    state = simulation.observe()["observation.state"]
    np.testing.assert_allclose(observation["agent_pos"], state[None], atol=1e-6)
    assert config.features["action"].shape == (simulation.action_size,)
    _, reward, *_ = envs.step(np.zeros((1, simulation.action_size), dtype=np.float32))
    assert reward[0] in (0.0, 1.0)
    envs.close()


def test_all_cameras_are_given_unless_told_otherwise():
    assert set(OuttakesEnvConfig(image_size=32).features) == {
        "action",
        "agent_pos",
        "environment_state",
        "observation.images.overhead",
        "observation.images.wrist",
    }
    assert set(OuttakesEnvConfig(cameras=[]).features) == {
        "action",
        "agent_pos",
        "environment_state",
    }


def test_an_environment_that_is_done_stands_still_until_the_next_rollout():
    envs = side_by_side(OuttakesEnvConfig(cameras=[], episode_length=1), 1)
    envs.reset(seed=[0], options={NEW_ROLLOUT_OPTION: True})
    last, _, _, over, _ = envs.step(STILL[None])
    assert over.all()
    for _ in range(3):
        again, *_ = envs.step(STILL[None])
        assert np.array_equal(again["agent_pos"], last["agent_pos"])
    fresh, _ = envs.reset(seed=[1], options={NEW_ROLLOUT_OPTION: True})
    assert not np.array_equal(fresh["agent_pos"], last["agent_pos"])
    envs.close()


def test_videos_are_seen_through_the_first_camera_at_their_own_size():
    task = make_task(video_size=48)
    task.reset(seed=0)
    frame = task.render()
    assert frame.shape == (48, 48, 3) and frame.dtype == np.uint8 and frame.std() > 0


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"task": "lfit"}, UnknownName),
        ({"cameras": ["overhed"]}, UnknownName),
        ({"image_size": 0}, ConfigError),
        ({"episode_length": 0}, ConfigError),
    ],
)
def test_settings_that_cannot_work_are_refused(settings, error):
    with pytest.raises(error):
        OuttakesEnvConfig(**settings)

"""Meta-World's tasks: the laws of an environment for all of them, and the perturbed operator."""

from __future__ import annotations

import subprocess
import sys
import warnings

import mujoco
import numpy as np
import pytest

from outtakes.errors import ConfigError, UnknownName
from outtakes.sim.environment import make_environment
from outtakes.sim.metaworld import sawyer
from outtakes.sim.metaworld.instructions import INSTRUCTIONS, PREFIX
from outtakes.sim.metaworld.sawyer import MetaWorldTask
from outtakes.sim.operators.mistake import draw_mistake, make_mistake
from outtakes.sim.operators.perturbed_policy import (
    MISTAKES,
    MetaWorldOperator,
    draw_personality,
    policy_view,
)
from tests.commands import done, refused

PICK_PLACE = PREFIX + "pick-place-v3"


@pytest.fixture(scope="module")
def pick_place() -> MetaWorldTask:
    task = MetaWorldTask(PICK_PLACE)
    task.reset(task.sample_initial_state(np.random.default_rng(0)))
    return task


def random_actions(steps: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1.0, 1.0, (steps, 4))


def observed(task: MetaWorldTask) -> np.ndarray:
    return np.concatenate(list(task.observe().values()))


def observations(task: MetaWorldTask, state: np.ndarray, actions: np.ndarray) -> np.ndarray:
    task.reset(state)
    rows = [observed(task)]
    for action in actions:
        task.step(action)
        rows.append(observed(task))
    return np.array(rows)


def twin(task: str, state: np.ndarray):
    """Meta-World's own environment, as its benchmarks set it up."""
    with warnings.catch_warnings(action="ignore"):
        from metaworld.env_dict import ALL_V3_ENVIRONMENTS

        environment = ALL_V3_ENVIRONMENTS[task]()
    del environment.sawyer_observation_space
    environment._partially_observable = False
    environment._set_task_called = True
    environment._last_rand_vec = state
    environment.reset()
    return environment


def arrays(model: mujoco.MjModel) -> dict[str, np.ndarray]:
    values = {name: getattr(model, name) for name in dir(model) if not name.startswith("_")}
    return {name: v for name, v in values.items() if isinstance(v, np.ndarray)}


def test_every_task_of_metaworld_with_a_scripted_policy_is_offered():
    from metaworld.env_dict import ALL_V3_ENVIRONMENTS
    from metaworld.policies import ENV_POLICY_MAP

    assert set(INSTRUCTIONS) == set(ALL_V3_ENVIRONMENTS) & set(ENV_POLICY_MAP)


@pytest.mark.parametrize("name", INSTRUCTIONS)
def test_every_task_obeys_the_laws(name):
    task = MetaWorldTask(PREFIX + name)
    state, other = (task.sample_initial_state(np.random.default_rng(seed)) for seed in (1, 2))
    assert state.dtype == np.float64 and not np.array_equal(state, other)

    # From one initial state, equal actions give equal bits, whatever ran before.
    actions = random_actions(6)
    first = observations(task, state, actions)
    observations(task, other, random_actions(9, 1))
    assert np.array_equal(observations(task, state, actions), first)
    assert not np.array_equal(observations(task, other, actions)[0], first[0])

    # The observation is enough to rebuild what the scripted policy reads.
    policy, theirs = task._prototype.policy, task._environment
    for action in random_actions(4, 2):
        task.step(action)
        with warnings.catch_warnings(action="ignore"):
            wanted = policy(theirs._get_obs())
            found = policy(policy_view(task.observe(), np.zeros(3)))
        np.testing.assert_allclose(np.clip(found, -1, 1), np.clip(wanted, -1, 1), atol=1e-3)

    # A reset restores, and a renderer is told, the only parts of the model that a task moves.
    before, after = arrays(task._prototype.model), arrays(task._model)
    changed = {key for key, value in before.items() if not np.array_equal(value, after[key], True)}
    assert changed <= {"body_pos", "site_pos"}


@pytest.mark.parametrize("name", ["pick-place-v3", "door-open-v3", "peg-insert-side-v3"])
def test_a_task_goes_as_metaworlds_own(name):
    task = MetaWorldTask(PREFIX + name)
    state = task.sample_initial_state(np.random.default_rng(5))
    theirs = twin(name, state)
    task.reset(state)
    operator = task.demonstrator(np.random.default_rng(0), 0.0)
    for _ in range(160):
        action = operator.act(task.observe())
        solved = task.step(action)
        theirs_observe, *_, facts = theirs.step(action)
        np.testing.assert_allclose(
            policy_view(task.observe(), np.zeros(3))[:18], theirs_observe[:18], atol=1e-6
        )
        assert solved == bool(facts["success"])
        if solved:
            return
    pytest.fail("the operator did not get there")


def test_tasks_side_by_side_do_not_disturb_each_other(pick_place):
    rng = np.random.default_rng(3)
    state, elsewhere = pick_place.sample_initial_state(rng), pick_place.sample_initial_state(rng)
    actions = random_actions(20)
    alone = observations(pick_place, state, actions)
    neighbour = MetaWorldTask(PICK_PLACE)
    pick_place.reset(state)
    neighbour.reset(elsewhere)
    rows = [observed(pick_place)]
    for action, contrary in zip(actions, random_actions(20, 3), strict=True):
        neighbour.step(contrary)
        neighbour.sample_initial_state(rng)
        pick_place.step(action)
        rows.append(observed(pick_place))
    assert np.array_equal(np.array(rows), alone)


def test_pictures_show_each_its_own_scene_and_looking_changes_nothing(pick_place):
    rng = np.random.default_rng(4)
    one, two = pick_place.sample_initial_state(rng), pick_place.sample_initial_state(rng)
    neighbour = MetaWorldTask(PICK_PLACE)
    neighbour.reset(two)
    unseen = observations(pick_place, one, random_actions(5))
    pick_place.reset(one)
    first = pick_place.render("overhead", 48, 48)
    assert first.shape == (48, 48, 3) and first.dtype == np.uint8 and first.std() > 10
    assert not np.array_equal(neighbour.render("overhead", 48, 48), first)
    assert np.array_equal(pick_place.render("overhead", 48, 48), first)
    for action in random_actions(5):
        pick_place.render("wrist", 24, 24)
        pick_place.step(action)
    assert np.array_equal(observed(pick_place), unseen[-1])


def test_the_goal_is_seen_where_it_is(pick_place):
    state = pick_place.sample_initial_state(np.random.default_rng(0))
    elsewhere = state.copy()
    elsewhere[3:] += [0.0, 0.0, 0.1]  # raises the goal, leaves the puck
    images = []
    for each in (state, elsewhere):
        pick_place.reset(each)
        images.append(pick_place.render("overhead", 96, 96).astype(int))
    blue = [(image[..., 2] - image[..., 0] > 60).nonzero()[0].mean() for image in images]
    assert blue[1] < blue[0] - 3, "a higher goal is higher in the picture"


def test_mistakes_of_the_caller_are_named(pick_place):
    with pytest.raises(UnknownName, match="did you mean 'metaworld-push-v3'"):
        make_environment("metaworld-pusch-v3")
    with pytest.raises(ConfigError, match="initial state of shape"):
        pick_place.reset(np.zeros(5))
    with pytest.raises(ConfigError, match="4 finite numbers"):
        pick_place.step(np.zeros(7))
    with pytest.raises(ConfigError, match="4 finite numbers"):
        pick_place.step(np.full(4, np.nan))
    with pytest.raises(UnknownName, match="choose one of overhead, wrist"):
        pick_place.render("front", 8, 8)
    with pytest.raises(ConfigError, match="horizon 0"):
        MetaWorldTask(PICK_PLACE, horizon=0)


def test_names_are_checked_without_metaworld():
    code = (
        "import sys\n"
        "from outtakes.errors import UnknownName\n"
        "from outtakes.sim.environment import environments, make_environment\n"
        "assert 'metaworld-reach-v3' in environments()\n"
        "try:\n"
        "    make_environment('metaworld-reach')\n"
        "except UnknownName:\n"
        "    assert 'metaworld' not in sys.modules and 'mujoco' not in sys.modules\n"
        "else:\n"
        "    raise AssertionError\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def demonstrate(task: MetaWorldTask, operator: MetaWorldOperator, seed: int) -> bool:
    task.reset(task.sample_initial_state(np.random.default_rng(seed)))
    for _ in range(task.horizon):
        action = operator.act(task.observe())
        assert action.shape == (4,) and action.dtype == np.float32 and np.abs(action).max() <= 1
        if operator.finished:
            return False
        if task.step(action):
            return True
    return False


def success_rate(task: MetaWorldTask, kind: str, share: float) -> float:
    won = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        personality = draw_personality(rng)
        mistake = make_mistake(MISTAKES, kind, share, direction=rng.uniform(0, 2 * np.pi))
        operator = MetaWorldOperator(task._prototype.policy, personality, mistake, rng=rng)
        won.append(demonstrate(task, operator, seed))
    return float(np.mean(won))


@pytest.mark.parametrize(
    ("kind", "gross"),
    [("off_target", 0.7), ("too_high", 0.7), ("weak_grip", 1.0), ("slip", 1.0), ("give_up", 1.0)],
)
def test_trivial_mistakes_mostly_succeed_and_gross_ones_mostly_fail(pick_place, kind, gross):
    assert success_rate(pick_place, kind, 0.02 * gross) >= 0.8
    assert success_rate(pick_place, kind, gross) <= 0.5


def test_one_seed_gives_one_episode_and_another_seed_another(pick_place):
    observation = pick_place.observe()

    def actions(seed: int) -> np.ndarray:
        operator = pick_place.demonstrator(np.random.default_rng(seed), 0.5)
        return np.array([operator.act(observation) for _ in range(10)])

    assert np.array_equal(actions(3), actions(3))
    assert not np.array_equal(actions(3), actions(4))


def test_mistakes_are_drawn_of_every_kind_up_to_the_largest():
    drawn = [draw_mistake(np.random.default_rng(seed), MISTAKES) for seed in range(300)]
    assert {mistake.kind for mistake in drawn} == set(MISTAKES)
    assert 0.9 < max(mistake.share for mistake in drawn) <= 1.0
    assert {mistake.unit for mistake in drawn} == {"m", "control steps", "of the force"}
    with pytest.raises(UnknownName, match="mistake 'sneeze'"):
        make_mistake(MISTAKES, "sneeze", 1.0)


def test_an_operator_who_gets_nowhere_lets_go(pick_place):
    operator = pick_place.demonstrator(np.random.default_rng(0), 0.0)
    observation = pick_place.observe()
    for _ in range(100):
        operator.act(observation)
        if operator.finished:
            return
    pytest.fail("still at it")


def test_collect_train_and_evaluate_from_the_command_line(tmp_path):
    dataset, runs = tmp_path / "dataset", tmp_path / "runs"
    few = ("--recipe", "smoke", "--successes", 1, "--failures", 1)
    done("collect", "metaworld-push-v3", *few, "--out", dataset)
    short = ("--recipe", "smoke", "--steps", 2, "--chunk", 16, "--seeds", 0)
    done("train", dataset, *short, "--out", runs)
    run = runs / "runs" / "act-pb" / "seed-0"
    rolled = ("--recipe", "smoke", "--rollouts", 2, "--out", tmp_path / "evaluation")
    called = done("evaluate", run, "--task", "metaworld-push-v3", *rolled, "--json")
    assert '"act-pb (mean)"' in called.out
    assert "expects state" in refused("evaluate", run, "--task", "metaworld-stick-pull-v3", *rolled)


def test_an_unknown_task_is_refused_in_one_line(tmp_path):
    line = refused("collect", "metaworld-push", "--out", tmp_path / "dataset")
    assert "did you mean 'metaworld-push-v3'" in line and len(line) < 300


def test_a_missing_extra_is_named_in_one_line(tmp_path, monkeypatch):
    sawyer._prototype.cache_clear()
    monkeypatch.setitem(sys.modules, "metaworld.env_dict", None)
    line = refused("collect", "metaworld-door-lock-v3", "--out", tmp_path / "dataset")
    assert line == "metaworld is not installed: pip install 'outtakes[metaworld]'"

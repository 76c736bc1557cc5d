"""Lift on raw MuJoCo against robosuite's own loop, and the laws of an environment."""

from __future__ import annotations

import subprocess
import sys

import mujoco
import numpy as np
import pytest

from outtakes.errors import ConfigError, MachineError, UnknownName
from outtakes.sim import rendering
from outtakes.sim.environment import make_environment
from outtakes.sim.operators.lifting import LiftOperator
from outtakes.sim.operators.personality import Personality
from outtakes.sim.robosuite.lift import (
    CUBE_HALF_EDGE,
    CUBE_RANGE,
    SUCCESS_HEIGHT,
    Lift,
    build_robosuite_lift,
)
from outtakes.sim.robosuite.tabletop import rotation_vector


@pytest.fixture(scope="module")
def lift() -> Lift:
    return Lift()


@pytest.fixture(scope="module")
def twin():
    return build_robosuite_lift()


@pytest.fixture
def initial_state(lift: Lift) -> np.ndarray:
    return lift.sample_initial_state(np.random.default_rng(7))


def reset_twin(twin, initial_state: np.ndarray) -> None:
    twin.reset()
    data = twin.sim.data
    data.qpos[:] = initial_state
    data.qvel[:] = 0.0
    data.qacc_warmstart[:] = 0.0
    twin.robots[0].part_controllers["right"].update_initial_joints(initial_state[:7])


def observations(lift: Lift, initial_state: np.ndarray, actions: np.ndarray) -> np.ndarray:
    lift.reset(initial_state)
    rows = []
    for action in actions:
        lift.step(action)
        rows.append(np.concatenate(list(lift.observe().values())))
    return np.array(rows)


def random_actions(steps: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1.0, 1.0, (steps, 7))


def test_random_actions_move_both_twins_alike(lift, twin, initial_state):
    lift.reset(initial_state)
    reset_twin(twin, initial_state)
    for action in random_actions(120):
        lift.step(action)
        twin.step(action)
        np.testing.assert_allclose(lift._data.qpos, twin.sim.data.qpos, atol=1e-6)


def test_grasp_and_lift_moves_both_twins_alike(lift, twin, initial_state):
    lift.reset(initial_state)
    reset_twin(twin, initial_state)
    rng = np.random.default_rng(0)
    operator = LiftOperator(Personality(tremor=0.1), None, retry=False, rng=rng)
    solved = []
    while not operator.finished:
        action = operator.act(lift.observe())
        solved.append((lift.step(action), bool(twin.step(action) and twin._check_success())))
        np.testing.assert_allclose(lift._data.qpos, twin.sim.data.qpos, atol=1e-6)
    assert any(mine for mine, _ in solved)
    assert all(mine == theirs for mine, theirs in solved)


def test_observation_is_what_robosuite_observes(lift, twin, initial_state):
    lift.reset(initial_state)
    reset_twin(twin, initial_state)
    theirs = twin._get_observations(force_update=True)
    state, environment_state = lift.observe().values()
    np.testing.assert_allclose(state[:7], theirs["robot0_joint_pos"], atol=1e-6)
    np.testing.assert_allclose(state[7:10], theirs["robot0_eef_pos"], atol=1e-6)
    opening = theirs["robot0_gripper_qpos"] @ [1, -1]
    np.testing.assert_allclose(state[13], opening, atol=1e-6)
    np.testing.assert_allclose(environment_state[:3], theirs["cube_pos"], atol=1e-6)
    turn = np.roll(theirs["cube_quat"], 1)
    np.testing.assert_allclose(environment_state[3:], turn * np.sign(turn[0]), atol=1e-6)


def test_equal_actions_give_equal_bits_whatever_ran_before(lift, initial_state):
    actions = random_actions(40)
    first = observations(lift, initial_state, actions)
    observations(lift, lift.sample_initial_state(np.random.default_rng(1)), random_actions(9, 1))
    assert np.array_equal(observations(lift, initial_state, actions), first)


def test_environments_side_by_side_do_not_disturb_each_other(lift, initial_state):
    actions = random_actions(20)
    alone = observations(lift, initial_state, actions)
    pair = [Lift(), Lift()]
    for other in pair:
        other.reset(initial_state)
    rows = []
    for action, contrary in zip(actions, random_actions(20, 3), strict=True):
        pair[0].step(action)
        pair[1].step(contrary)
        pair[1].observe()
        rows.append(np.concatenate(list(pair[0].observe().values())))
    assert np.array_equal(np.array(rows), alone)


def test_looking_changes_nothing(lift, initial_state):
    actions = random_actions(5)
    unseen = observations(lift, initial_state, actions)
    lift.reset(initial_state)
    for action in actions:
        lift.render("wrist", 24, 24)
        lift.observe()
        lift.step(action)
    assert np.array_equal(np.concatenate(list(lift.observe().values())), unseen[-1])


def test_initial_states_fill_the_range_and_lie_at_rest(lift):
    rng = np.random.default_rng(0)
    cubes = np.array([lift.sample_initial_state(rng)[9:12] for _ in range(400)])
    top = lift._scene.table_height
    for axis, limit in enumerate(CUBE_RANGE):
        assert np.abs(cubes[:, axis]).max() <= limit
        assert cubes[:, axis].max() > 0.95 * limit > -0.95 * limit > cubes[:, axis].min()
    np.testing.assert_allclose(cubes[:, 2], top + CUBE_HALF_EDGE)
    lift.reset(lift.sample_initial_state(rng))
    before = lift.observe()["observation.environment_state"][:7]
    for _ in range(10):
        assert not lift.step(np.zeros(7))
    np.testing.assert_allclose(
        lift.observe()["observation.environment_state"][:7], before, atol=2e-3
    )


@pytest.mark.parametrize("height, solved", [(-0.0002, False), (0.0002, True)])
def test_solved_means_four_centimetres_above_the_table(lift, initial_state, height, solved):
    state = initial_state.copy()
    # Free fall over the 24 of 25 physics steps of 2 ms that robosuite's check has seen.
    fall = 9.81 * 0.002**2 * sum(range(1, 25))
    state[11] = lift._scene.table_height + SUCCESS_HEIGHT + height + fall
    lift.reset(state)
    assert lift.step(np.zeros(7)) is solved


def test_cube_quaternion_has_one_sign(lift):
    rng = np.random.default_rng(2)
    for _ in range(20):
        lift.reset(lift.sample_initial_state(rng))
        quaternion = lift.observe()["observation.environment_state"][3:7]
        assert quaternion[0] >= 0
        np.testing.assert_allclose(np.linalg.norm(quaternion), 1.0, atol=1e-6)


def test_rotation_vector_is_small_and_continuous_near_downward(lift, initial_state):
    lift.reset(initial_state)
    for turn in (-0.3, -0.01, 0.0, 0.01, 0.3):
        cosine, sine = np.cos(turn), np.sin(turn)
        about_x = np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]])
        downward = np.array([[0.0, 1, 0], [1, 0, 0], [0, 0, -1]])
        np.testing.assert_allclose(rotation_vector(about_x @ downward), [turn, 0, 0], atol=1e-12)
    assert np.linalg.norm(lift.observe()["observation.state"][10:13]) < 0.4


def test_rotation_action_turns_the_reported_rotation(lift, initial_state):
    for axis in range(3):
        lift.reset(initial_state)
        before = lift.observe()["observation.state"][10:13]
        action = np.zeros(7)
        action[3 + axis] = 0.4
        for _ in range(5):
            lift.step(action)
        change = lift.observe()["observation.state"][10:13] - before
        assert np.argmax(np.abs(change)) == axis
        assert change[axis] > 0.05


@pytest.mark.parametrize("camera", Lift.cameras)
def test_pictures_show_the_cube_and_are_pure(lift, initial_state, camera):
    lift.reset(initial_state)
    image = lift.render(camera, 96, 96)
    assert image.shape == (96, 96, 3)
    assert image.dtype == np.uint8
    assert 0.003 < is_red(image).mean() < 0.1
    assert not is_red(image)[:10].all()
    lift.step(np.ones(7))
    lift.reset(initial_state)
    assert np.array_equal(lift.render(camera, 96, 96), image)


def is_red(image: np.ndarray) -> np.ndarray:
    red, green, blue = np.moveaxis(image.astype(int), -1, 0)
    return (red > 50) & (red > 2 * green) & (red > 2 * blue)


@pytest.mark.parametrize("x, y", [(sx * 0.1, sy * 0.2) for sx in (-1, 1) for sy in (-1, 1)])
def test_overhead_frames_the_whole_range_upright(lift, initial_state, x, y):
    state = initial_state.copy()
    state[9:11] = x, y
    lift.reset(state)
    rows, columns = np.nonzero(is_red(lift.render("overhead", 96, 96)))
    assert len(rows) > 20
    # The robot stands at the top of the picture, its left to the right.
    assert (rows.mean() > 48) == (x > 0)
    assert (columns.mean() > 48) == (y > 0)


def test_leaving_out_unseen_meshes_leaves_the_picture(lift, initial_state):
    lift.reset(initial_state)
    image = lift.render("wrist", 64, 64)
    full = rendering.Renderer(lift._model)
    full._hide_meshes_out_of_view = lambda camera: None
    assert np.array_equal(full.render(lift._data.qpos, "robot0_eye_in_hand", 64, 64), image)
    full.close()


def test_one_renderer_draws_every_size_and_is_freed_with_its_last_holder(lift, initial_state):
    renderer = rendering.Renderer(lift._model)
    first, free = renderer.render(initial_state, "overhead", 48, 48), renderer._free
    assert renderer.render(initial_state, "overhead", 32, 64).shape == (32, 64, 3)
    assert np.array_equal(renderer.render(initial_state, "overhead", 48, 48), first)
    assert free.alive
    del renderer
    assert not free.alive


def test_every_mesh_out_of_view_is_left_out(lift, initial_state):
    renderer = rendering.Renderer(lift._model)
    renderer.render(initial_state, "robot0_eye_in_hand", 64, 64)
    base = lift._model.geom("robot0_g8_vis").id
    assert renderer._model.geom_group[base] != 1
    assert lift._model.geom_group[base] == 1
    renderer.close()


def test_no_opengl_is_the_users_to_mend(monkeypatch):
    monkeypatch.setattr(rendering, "_LIBRARIES", {"egl": "libNoSuchEGL.so.9"})
    with pytest.raises(MachineError, match="apt-get install libegl1"):
        rendering.choose_backend()


def test_stepping_needs_no_opengl_and_says_nothing():
    code = (
        "import sys, os, numpy as np\n"
        "from outtakes.sim.environment import make_environment\n"
        "lift = make_environment('lift')\n"
        "lift.reset(lift.sample_initial_state(np.random.default_rng(0)))\n"
        "lift.step(np.zeros(7)); lift.observe()\n"
        "assert 'mujoco.egl' not in sys.modules and 'mujoco.osmesa' not in sys.modules\n"
        "assert 'MUJOCO_GL' not in os.environ\n"
    )
    environment = {"PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_user_mistakes_are_named(lift, initial_state):
    with pytest.raises(UnknownName, match="overhead, wrist"):
        lift.render("birdview", 8, 8)
    with pytest.raises(UnknownName, match="did you mean 'lift'"):
        make_environment("lifts")
    with pytest.raises(ConfigError, match="horizon 0"):
        Lift(horizon=0)
    with pytest.raises(ConfigError, match=r"\(3,\)"):
        lift.reset(np.zeros(3))
    lift.reset(initial_state)
    with pytest.raises(ConfigError, match="finite"):
        lift.step(np.full(7, np.nan))


def test_instances_share_one_model():
    assert Lift()._model is Lift()._model
    assert isinstance(Lift()._data, mujoco.MjData)

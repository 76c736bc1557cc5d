"""Named settings."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from outtakes.data.demo import DemoSet
from outtakes.errors import ConfigError, DatasetError, UnknownName
from outtakes.experiments.recipes import (
    PAPER,
    QUICK,
    RECIPE_FPS,
    RECIPES,
    SMOKE,
    Eyes,
    Recipe,
    adapt,
    recipe,
)
from outtakes.sim.environment import make_environment
from tests.demos import make_demos


def test_recipes_are_found_by_name() -> None:
    assert {name: chosen.name for name, chosen in RECIPES.items()} == {
        name: name for name in ("quick", "brisk", "smoke", "paper")
    }
    with pytest.raises(UnknownName, match="did you mean 'smoke'"):
        recipe("smok")


def test_the_papers_own_numbers() -> None:
    """Sec. 4.1: chunk 100, 4 + 7 layers, width 512, batch 10, 10,000 epochs, 50 + 50 demos."""
    act, train, collect = PAPER.policy, PAPER.train, PAPER.collect
    assert (act.chunk, act.encoder_layers, act.decoder_layers) == (100, 4, 7)
    assert (act.width, act.heads, act.feed_forward, act.pb_size) == (512, 8, 3200, 5)
    assert (train.batch_size, train.steps) == (10, 100_000)
    assert (collect.successes, collect.failures, PAPER.rollouts) == (50, 50, 100)
    assert PAPER.seeds == (0, 1, 2, 3, 4)
    assert act.cameras == ("overhead", "wrist")


def test_smoke_trains_the_policy_of_quick() -> None:
    assert (SMOKE.policy, SMOKE.controller) == (QUICK.policy, QUICK.controller)


@pytest.mark.parametrize("changes", [{"seeds": ()}, {"rollouts": 0}, {"keep": 0}])
def test_a_recipe_of_nothing_is_refused(changes: dict) -> None:
    with pytest.raises(ConfigError, match="at least one"):
        replace(SMOKE, **changes)


def test_a_policy_looks_only_when_it_must() -> None:
    seeing = make_demos(camera=True)
    blind = make_demos()
    without_poses = replace(
        seeing, environment_state=np.zeros((len(seeing.action), 0), dtype=np.float32)
    )
    assert adapt(SMOKE, seeing).policy.cameras == ()
    assert adapt(SMOKE, blind).policy.cameras == ()
    assert adapt(SMOKE, without_poses).policy.views == ("overhead",)
    assert adapt(PAPER, seeing).policy.cameras == ("overhead",)
    assert adapt(PAPER, blind).policy.cameras == ()
    assert adapt(SMOKE, seeing, look=True).policy.cameras == ("overhead",)


@pytest.mark.parametrize(
    ("recipe", "eyes", "device", "form"),
    [
        (QUICK, "auto", "cpu", "vector"),
        (QUICK, "auto", "cuda", None),
        (QUICK, "tokens", "cuda", "tokens"),
        (QUICK, "resnet", "cpu", None),
        (PAPER, "resnet", "cpu", None),
    ],
)
def test_without_object_poses_frozen_eyes_look_on_a_cpu(
    recipe: Recipe, eyes: Eyes, device: str, form: str | None
) -> None:
    seeing = make_demos(camera=True)
    blind = np.zeros((len(seeing.action), 0), dtype=np.float32)
    demos = replace(seeing, environment_state=blind)
    policy = adapt(replace(recipe, eyes=eyes), demos, device=device).policy
    assert policy.views == ("overhead",)
    assert (None if policy.eyes is None else policy.eyes.form) == form
    if policy.eyes is not None:
        assert (policy.cameras, policy.eyes.image_size) == ((), recipe.image_size)


def test_eyes_that_were_asked_for_look_where_there_are_poses_and_need_a_camera() -> None:
    frozen = replace(QUICK, eyes="frozen")
    assert adapt(frozen, make_demos(camera=True), device="cuda").policy.eyes is not None
    with pytest.raises(DatasetError, match="no camera for frozen eyes"):
        adapt(frozen, make_demos())


# The chunk


def at(fps: float, *lengths: int) -> DemoSet:
    """Demonstrations of these lengths at a frame rate."""
    demos = make_demos(len(lengths), 0, length=(max(lengths), max(lengths) + 1))
    return replace(demos, fps=fps, lengths=np.array(lengths))


@pytest.mark.parametrize("chosen", RECIPES.values(), ids=RECIPES)
def test_recipes_are_meant_for_lift_and_do_not_change_there(chosen: Recipe) -> None:
    assert make_environment(chosen.collect.environment).fps == RECIPE_FPS
    fitted = adapt(chosen, at(RECIPE_FPS, 400))
    assert fitted == replace(chosen, policy=replace(chosen.policy, cameras=()))


@pytest.mark.parametrize("chosen", RECIPES.values(), ids=RECIPES)
@pytest.mark.parametrize("fps", [1, 5, 10, 15, 29.97, 30, 50, 60, 100])
def test_a_chunk_lasts_as_long_at_any_frame_rate(chosen: Recipe, fps: float) -> None:
    fitted = adapt(chosen, at(fps, 1000))
    half_a_step = 0.5 / fps
    seconds = max(chosen.policy.chunk / RECIPE_FPS, 2 / fps)
    assert fitted.policy.chunk >= 2
    assert abs(fitted.policy.chunk / fps - seconds) <= half_a_step
    executed = max(chosen.controller.replan / RECIPE_FPS, 1 / fps)
    assert abs(fitted.controller.replan / fps - executed) <= half_a_step
    assert fitted.controller.replan <= fitted.policy.chunk


@pytest.mark.parametrize(("shortest", "chunk"), [(40, 16), (16, 16), (15, 15), (8, 8), (7, 16)])
def test_a_chunk_is_shortened_to_the_shortest_episode_by_half_at_the_most(
    shortest: int, chunk: int
) -> None:
    fitted = adapt(QUICK, at(20, 40, shortest))
    assert fitted.policy.chunk == chunk
    assert fitted.controller.replan == min(8, chunk)
    assert adapt(QUICK, at(20, 40, shortest), pad=True).policy.chunk == 16


def test_a_chunk_that_was_chosen_stays() -> None:
    fitted = adapt(QUICK, at(50, 40, 12), chunk=5)
    assert (fitted.policy.chunk, fitted.controller.replan) == (5, 5)
    assert adapt(QUICK, at(50, 40, 12), chunk=30).controller.replan == 8

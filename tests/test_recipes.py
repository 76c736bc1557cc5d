"""Named settings."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from outtakes.errors import ConfigError, UnknownName
from outtakes.recipes import PAPER, QUICK, RECIPES, SMOKE, adapt, recipe
from tests.demos import make_demos


def test_recipes_are_found_by_name() -> None:
    assert {name: chosen.name for name, chosen in RECIPES.items()} == {
        name: name for name in ("quick", "smoke", "paper")
    }
    with pytest.raises(UnknownName, match="did you mean 'smoke'"):
        recipe("smok")


def test_the_papers_own_numbers() -> None:
    """Sec. 4.1: chunk 100, 4 + 7 layers, width 512, batch 10, 10,000 epochs, 50 + 50 demos."""
    act, train, collect = PAPER.act, PAPER.train, PAPER.collect
    assert (act.chunk, act.encoder_layers, act.decoder_layers) == (100, 4, 7)
    assert (act.width, act.heads, act.feed_forward, act.pb_size) == (512, 8, 3200, 5)
    assert (train.batch_size, train.steps) == (10, 100_000)
    assert (collect.successes, collect.failures, PAPER.rollouts) == (50, 50, 100)
    assert PAPER.seeds == (0, 1, 2, 3, 4)
    assert act.cameras == ("overhead", "wrist")


def test_smoke_trains_the_policy_of_quick() -> None:
    assert (SMOKE.act, SMOKE.loss, SMOKE.controller) == (QUICK.act, QUICK.loss, QUICK.controller)


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
    assert adapt(SMOKE, seeing).act.cameras == ()
    assert adapt(SMOKE, blind).act.cameras == ()
    assert adapt(SMOKE, without_poses).act.cameras == ("overhead",)
    assert adapt(PAPER, seeing).act.cameras == ("overhead",)
    assert adapt(PAPER, blind).act.cameras == ()

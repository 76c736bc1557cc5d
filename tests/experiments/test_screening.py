"""Rankers judged by the policies they make: in miniature, over two replicates."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from outtakes import api
from outtakes.errors import ConfigError
from outtakes.evaluation.rollouts import RolloutLog
from outtakes.experiments.runs import ROLLOUTS
from outtakes.experiments.screening import Screening
from outtakes.ranking.scores import Scores
from outtakes.selection.select import select
from tests.experiments.test_budgets import TINY

PLAN = api.ScreeningPlan(
    rankers=("coverage", "length,action-error"),
    counts=(2,),
    draws=1,
    steps={"none": 2, "some": 3, "all": 4},
)
SETTINGS = {"successes": 2, "replicates": 2, "tuning": True}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[api.Lab, Screening]:
    """A finished study, which no test may change."""
    recipe = replace(TINY, seeds=(0,), train=replace(TINY.train, steps=4))
    lab = api.laboratory(tmp_path_factory.mktemp("screening"), recipe=recipe)
    return lab, api.screen(lab, PLAN, **SETTINGS)


def test_every_selection_has_a_rate_in_each_replicate(study):
    _, found = study
    assert set(found.rates) == {
        *("none", "all", "random 2"),
        *(f"{by} {end} 2" for by in PLAN.rankers for end in ("best", "worst")),
    }
    assert {len(rates) for rates in found.rates.values()} == {2}
    assert found.chosen()["length,action-error worst 2"] == "random 2"


def test_replicates_share_nothing(study):
    lab, _ = study
    cells = [api.replicate(lab, r, 2, tuning=True) for r in range(2)]
    assert cells[0].demos.content_hash != cells[1].demos.content_hash
    assert [cell.lab.recipe.seeds for cell in cells] == [(0,), (1,)]
    logs = [RolloutLog.load(cell.lab.out / ROLLOUTS).rollouts for cell in cells]
    assert [{r.drawn_from for r in log} for log in logs] == [{"tune/0"}, {"tune/1"}]


def test_arms_train_on_the_ends_of_the_ranking_for_as_long_as_was_tuned(study):
    lab, _ = study
    cell = api.replicate(lab, 0, 2, tuning=True)
    scores = Scores.load(cell.lab.out / "scores" / "coverage.json")
    for end in ("best", "worst"):
        arm = api.Checkpoint.load(cell.lab.out / "runs" / f"coverage {end} 2" / "seed-0")
        assert list(arm.episodes) == select(scores, cell.successes, keep=end, count=2).kept
        assert arm.step == 3
    lengths = {
        name: api.Checkpoint.load(cell.lab.out / "runs" / name / "seed-0").step
        for name in ("none", "all", "random-0 2")
    }
    assert lengths == {"none": 2, "all": 4, "random-0 2": 3}


def test_a_study_goes_on_from_what_was_committed(study, tmp_path):
    lab, found = study
    out: Path = tmp_path / "out"
    shutil.copytree(lab.out, out, ignore=shutil.ignore_patterns("runs"))
    again = api.screen(replace(lab, out=out), PLAN, **SETTINGS)
    assert again == found
    assert not list(out.rglob("runs"))


def test_the_table_compares_with_as_many_at_random():
    found = Screening({"none": (0.1, 0.2), "random 5": (0.2, 0.3), "coverage best 5": (0.3, 0.4)})
    assert found.gain("coverage best 5", "random 5").mean == pytest.approx(0.1)
    first, *rest = found.table().splitlines()[2:]
    assert first.startswith("| coverage best 5 | 35.0 (-28.5 to 98.5) | +10.0 (+10.0 to +10.0) |")
    assert rest[1] == "| none | 15.0 (-48.5 to 78.5) |  |  |"


def test_more_failures_than_there_are_are_refused(study):
    lab, _ = study
    with pytest.raises(ConfigError, match="cannot keep 9 of 3 failures"):
        api.screen(lab, replace(PLAN, counts=(9,)), **SETTINGS)

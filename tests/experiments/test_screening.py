"""Studies over two replicates, in miniature: rankers, ways to train, what failures are worth."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from outtakes import api
from outtakes.errors import ConfigError
from outtakes.evaluation.learning_curves import Budgets, LearningCurve
from outtakes.evaluation.replicates import Replicates
from outtakes.evaluation.rollouts import RolloutLog
from outtakes.experiments import replication
from outtakes.experiments.comparing import against_successes
from outtakes.experiments.runs import ROLLOUTS
from outtakes.experiments.screening import ScreeningPlan, at_random
from outtakes.experiments.worth import WorthPlan, replaced, with_against_without
from outtakes.policy.checkpoint import Checkpoint
from outtakes.ranking.scores import Scores
from outtakes.selection.select import select
from tests.experiments.test_budgets import TINY

PLAN = ScreeningPlan(
    rankers=("coverage", "length,action-error"),
    counts=(2,),
    draws=1,
    steps={"none": 2, "some": 3, "all": 4},
)
SETTINGS = {"successes": 2, "replicates": 2, "tuning": True}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[api.Lab, Replicates]:
    """A finished study, which no test may change."""
    recipe = replace(TINY, seeds=(0,), train=replace(TINY.train, steps=4))
    lab = api.laboratory(tmp_path_factory.mktemp("screening"), recipe=recipe)
    return lab, replication.screen(lab, PLAN, **SETTINGS)


def test_every_selection_has_a_rate_in_each_replicate(study):
    _, found = study
    assert set(found.rates) == {
        *("none", "all", "random 2"),
        *(f"{by} {end} 2" for by in PLAN.rankers for end in ("best", "worst")),
    }
    assert {len(rates) for rates in found.rates.values()} == {2}
    assert at_random(found)["length,action-error worst 2"] == "random 2"


def test_replicates_share_nothing(study):
    lab, _ = study
    cells = [replication.replicate(lab, r, 2, tuning=True) for r in range(2)]
    assert cells[0].demos.content_hash != cells[1].demos.content_hash
    assert [cell.lab.recipe.seeds for cell in cells] == [(0,), (1,)]
    logs = [RolloutLog.load(cell.lab.out / ROLLOUTS).rollouts for cell in cells]
    assert [{r.drawn_from for r in log} for log in logs] == [{"tune/0"}, {"tune/1"}]


def test_arms_train_on_the_ends_of_the_ranking_for_as_long_as_was_tuned(study):
    lab, _ = study
    cell = replication.replicate(lab, 0, 2, tuning=True)
    scores = Scores.load(cell.lab.out / "scores" / "coverage.json")
    for end in ("best", "worst"):
        arm = Checkpoint.load(cell.lab.out / "runs" / f"coverage {end} 2" / "seed-0")
        assert list(arm.episodes) == select(scores, cell.successes, keep=end, count=2).kept
        assert arm.step == 3
    lengths = {
        name: Checkpoint.load(cell.lab.out / "runs" / name / "seed-0").step
        for name in ("none", "all", "random-0 2")
    }
    assert lengths == {"none": 2, "all": 4, "random-0 2": 3}


def test_a_study_goes_on_from_what_was_committed(study, tmp_path):
    lab, found = study
    out: Path = tmp_path / "out"
    shutil.copytree(lab.out, out, ignore=shutil.ignore_patterns("runs"))
    again = replication.screen(replace(lab, out=out), PLAN, **SETTINGS)
    assert again == found
    assert not list(out.rglob("runs"))


def test_more_failures_than_there_are_are_refused(study):
    lab, _ = study
    with pytest.raises(ConfigError, match="cannot keep 9 of 3 failures"):
        replication.screen(lab, replace(PLAN, counts=(9,)), **SETTINGS)


def flat(best: int) -> LearningCurve:
    return LearningCurve((best,), np.zeros((1, 1)))


def test_ways_are_compared_each_at_its_own_length(study, tmp_path):
    lab = replace(study[0], out=tmp_path)
    lengths = {"act-s": 2, "act-all": 3, "pb-kl-all (nearest)": 3, "pb-kl-all (mean)": 4}
    tuned = Budgets({name: flat(steps) for name, steps in lengths.items()})
    found = replication.compare_ways(lab, tuned, successes=2, replicates=1)
    assert set(found.rates) == {*lengths, "finish-all"}
    assert against_successes(found) == {n: "act-s" for n in found.rates if n != "act-s"}
    runs = tmp_path / "replicate-0" / "runs"
    steps = {run.name: Checkpoint.load(run / "seed-0").step for run in runs.iterdir()}
    assert steps == {"act-s": 2, "act-all": 3, "pb-kl-all": 4, "finish-all": 3 + 300}
    with pytest.raises(ConfigError, match="no learning curve of 'pb-s"):
        replication.compare_ways(lab, tuned, successes=2, replicates=1, arms=["pb-s"])


def test_success_is_measured_at_every_number_of_successes(study, tmp_path):
    lab = replace(study[0], out=tmp_path)
    plan = WorthPlan((1, 2), steps_without=(2, 3), steps_with=(4, 5))
    found = replication.measure_worth(lab, plan, replicates=1)
    assert with_against_without(plan).keys() < found.rates.keys()
    runs = tmp_path / "replicate-0" / "runs"
    seen = {run.name: Checkpoint.load(run / "seed-0") for run in runs.iterdir()}
    assert {name: (sum(c.successes), len(c.episodes), c.step) for name, c in seen.items()} == {
        "1 successes": (1, 1, 2),
        "2 successes": (2, 2, 3),
        "1 successes + failures": (1, 4, 4),
        "2 successes + failures": (2, 5, 5),
    }


def test_what_failures_replace_is_read_off_the_two_curves():
    rates = {
        "10 successes": (0.2, 0.2),
        "20 successes": (0.4, 0.4),
        "40 successes": (0.6, 0.6),
        "10 successes + failures": (0.5, 0.5),
        "20 successes + failures": (0.6, 0.6),
        "40 successes + failures": (0.7, 0.5),
    }
    found, plan = Replicates(rates), WorthPlan((10, 20, 40))
    # Half-way between 20 and 40 in the logarithm.
    assert replaced(found, plan, 10).more == pytest.approx(20 * 2**0.5 - 10)
    assert replaced(found, plan, 20).more == pytest.approx(20)
    some = replaced(found, plan, 40)
    assert some.more == pytest.approx(0) and some.low < 0 and some.high == np.inf

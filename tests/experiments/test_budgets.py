"""Learning curves, the log that studies go on from, and what a failure is worth: in miniature."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from outtakes import api
from outtakes.errors import ArtifactError, ConfigError, UnknownName
from outtakes.evaluation.learning_curves import Budgets, LearningCurve
from outtakes.evaluation.rollouts import RolloutLog
from outtakes.experiments import replication
from outtakes.experiments.budgets import arms_of, measure_budgets
from outtakes.experiments.cell import TUNING_COLLECTION, Cell
from outtakes.experiments.pipeline import jobs_of
from outtakes.experiments.random_subsets import (
    USEFULNESS,
    SubsetPlan,
    load_usefulness,
    measure_usefulness,
    subsets_of,
)
from outtakes.experiments.recipes import SMOKE
from outtakes.experiments.runs import ROLLOUTS, rollouts_of
from outtakes.experiments.study_log import run_recorded

TINY = replace(
    SMOKE,
    collect=replace(SMOKE.collect, successes=3, failures=3),
    train=replace(SMOKE.train, warmup=2, save_every=100),
    seeds=(0, 1),
    rollouts=2,
    horizon=10,
)


def tiny_cell(out: Path, **changes) -> Cell:
    return replication.cell(api.laboratory(out, recipe=replace(TINY, **changes)), 3, tuning=True)


@pytest.fixture(scope="module")
def cell(tmp_path_factory: pytest.TempPathFactory) -> Cell:
    """A cell whose budgets of two arms were measured at 4 and 8 steps."""
    cell = tiny_cell(tmp_path_factory.mktemp("cell") / "out")
    replication.measure_budgets(cell, arms=["act-s", "pb-kl-all"], lengths=[8, 4])
    return cell


def test_a_cell_draws_from_nothing_that_is_reported(cell):
    recipe = cell.lab.recipe
    assert recipe.collect.seed == TUNING_COLLECTION
    log = RolloutLog.load(cell.lab.out / ROLLOUTS)
    assert {r.drawn_from for r in log.rollouts} == {"tune/0"}
    assert not cell.demos.images


def test_the_first_stop_is_what_a_shorter_training_would_have_been(cell, tmp_path):
    (arm,) = arms_of(cell, ["pb-kl-all"])
    arm = replace(arm, training=replace(arm.training, steps=4))
    lab = replace(cell.lab, out=tmp_path)
    jobs = jobs_of(lab, [arm], (0, 1), cell.demos, lab.recipe.evaluation)
    run_recorded(lab, jobs)
    alone = [replace(r, arm="pb-kl-all@4") for job in jobs for r in rollouts_of(job)]
    log = RolloutLog.load(cell.lab.out / ROLLOUTS).rollouts
    assert [r for seed in (0, 1) for r in log if (r.arm, r.seed) == ("pb-kl-all@4", seed)] == alone


def test_what_advice_without_rollouts_is_worth_is_measured_and_goes_on(cell, tmp_path):
    out = tmp_path / "elsewhere"
    shutil.copytree(cell.lab.out, out, ignore=shutil.ignore_patterns("runs"))
    measured = Budgets.load(out / "budgets.json")
    here = tiny_cell(out)
    found = replication.foretell(here, measured)
    ways = {"act-s", "pb-kl-all (nearest)", "pb-kl-all (mean)"}
    assert {(f.way, f.steps) for f in found.foretold} == {(w, n) for w in ways for n in (4, 8)}
    assert all(f.error > 0 for f in found.foretold)
    assert all(f.rate == measured.curves[f.way].means[int(f.steps == 8)] for f in found.foretold)
    # No run is needed to know it again.
    shutil.rmtree(out / "runs")
    assert replication.foretell(here, measured) == found
    assert not (out / "runs").exists()


def test_a_study_goes_on_from_its_log_without_the_runs(cell, tmp_path):
    out = tmp_path / "elsewhere"
    shutil.copytree(cell.lab.out, out, ignore=shutil.ignore_patterns("runs"))
    # The same demonstrations, collected again, need not be the same bytes.
    stats = out / "dataset" / "meta" / "stats.json"
    stats.write_text(stats.read_text() + "\n")
    moved = tiny_cell(out)
    assert moved.demos.content_hash != cell.demos.content_hash
    found = replication.measure_budgets(moved, arms=["act-s", "pb-kl-all"], lengths=[4, 8])
    assert set(found.curves) == {"act-s", "pb-kl-all (nearest)", "pb-kl-all (mean)"}
    assert not (out / "runs").exists()
    # What is missing is added to what is there.
    replication.measure_budgets(moved, arms=["act-all"], lengths=[4, 8])
    assert sorted(p.name for p in (out / "runs").iterdir()) == ["act-all"]
    arms = {r.arm for r in RolloutLog.load(out / ROLLOUTS).rollouts}
    assert arms == {f"{arm}@{n}" for arm in ("act-s", "act-all", "pb-kl-all") for n in (4, 8)}


def test_a_log_of_other_settings_is_refused(cell, tmp_path):
    out = tmp_path / "elsewhere"
    shutil.copytree(cell.lab.out, out, ignore=shutil.ignore_patterns("runs"))
    recipe = replace(cell.lab.recipe, horizon=11)
    other = replace(cell, lab=replace(cell.lab, out=out, recipe=recipe))
    with pytest.raises(ArtifactError, match="act-s/seed-0 was recorded with other"):
        replication.measure_budgets(other, arms=["act-s"], lengths=[4, 8])


def test_usefulness_grows_from_fewer_subsets_to_more(cell, tmp_path):
    lab = replace(cell.lab, out=tmp_path, recipe=replace(cell.lab.recipe, seeds=(0,)))
    own = replace(cell, lab=lab)
    plan = SubsetPlan(size=1, subsets=5, steps=2)
    found = measure_usefulness(own, plan)
    assert found.episodes == tuple(cell.failures) and found.subsets == 5
    np.testing.assert_allclose(load_usefulness(tmp_path / USEFULNESS).effects, found.effects)
    assert subsets_of(own, replace(plan, subsets=7))[:5] == subsets_of(own, plan)


def test_the_budget_is_where_the_smoothed_curve_is_highest(tmp_path):
    rates = np.array([[0.2, 0.2], [0.5, 0.7], [0.2, 0.2], [0.5, 0.5], [0.5, 0.5], [0.4, 0.4]])
    curve = LearningCurve((1, 2, 4, 8, 16, 32), rates)
    assert curve.best == 16  # and not the lucky measurement at 2
    budgets = Budgets({"act-s": curve})
    budgets.save(tmp_path / "budgets.json")
    again = Budgets.load(tmp_path / "budgets.json")
    assert again.steps("act-s") == 16
    assert "| act-s | 20 | 60 | 20 | 50 | **50** | 40 |" in again.table()
    with pytest.raises(ConfigError, match="no learning curve of 'act-all'"):
        budgets.steps("act-all")


def test_what_cannot_be_measured_is_refused(cell):
    with pytest.raises(UnknownName, match="unknown arm 'act-none'"):
        arms_of(cell, ["act-none"])
    (arm,) = arms_of(cell, ["act-s"])
    falling = replace(arm, training=replace(arm.training, schedule="cosine"))
    with pytest.raises(ConfigError, match="falls to 0"):
        measure_budgets(cell.lab, cell.demos, [falling])
    with pytest.raises(ConfigError, match="9 of 3 successes"):
        replication.cell(cell.lab, 9, tuning=True)

"""Ways of the flow family to use failures: what each is trained on and starts from, and triage."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from outtakes import api
from outtakes.data.demo import Outcome
from outtakes.errors import UnknownName
from outtakes.experiments.held_out import ActionErrors
from outtakes.experiments.lab import Lab
from outtakes.experiments.pipeline import jobs_of
from outtakes.experiments.runs import run_folder
from outtakes.experiments.study_log import run_recorded
from outtakes.experiments.ways import flow_arms
from outtakes.policy.checkpoint import Checkpoint
from outtakes.ranking.scores import Scores
from tests.experiments.small import SMALL


@pytest.fixture(scope="module")
def lab(made_datasets: Path, tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """Every arm of the family, trained and rolled out once."""
    demos = api.load(made_datasets / "lift", recipe=SMALL)
    lab = Lab(replace(SMALL, seeds=(3,), rollouts=1, horizon=2), tmp_path_factory.mktemp("flow"))
    successes, failures = demos.episodes(Outcome.SUCCESS), demos.episodes(Outcome.FAILURE)
    arms = flow_arms(lab.recipe, successes, failures)
    log = run_recorded(lab, jobs_of(lab, arms, (3,), demos, lab.recipe.evaluation))
    assert {r.treatment for r in log.rollouts} == {
        *("flow-s", "flow-all", "cfgrl-all", "afil-s (adaptive-1)"),
        *(f"afil ({how})" for how in ("adaptive-1", "matched-1", "adaptive-0")),
    }
    return lab


def run_of(lab: Lab, arm: str) -> Checkpoint:
    return Checkpoint.load(run_folder(lab.out, arm, 3))


def test_guided_arms_start_from_one_policy_of_all_failures(lab: Lab) -> None:
    start, afil, control = (run_of(lab, arm) for arm in ("afil-flow", "afil", "afil-s"))
    assert start.episodes == afil.episodes == (0, 1, 2, 3, 4, 5)
    assert control.episodes == (0, 2, 4) and all(control.successes)
    assert afil.training["start"] == control.training["start"] != ""
    assert afil.training["balanced"] and not control.training["balanced"]


def test_a_constant_weight_is_matched_to_the_mean_of_the_adaptive_one(lab: Lab) -> None:
    run = run_of(lab, "afil")
    (disagreement,) = run.owned("memory").values()
    assert 0 < float(disagreement) < 2
    agent = run.agent()
    seen = {"observation.state": [[0.0] * 14], "observation.environment_state": [[0.0] * 7]}
    raw = {name: np.array(values, np.float32) for name, values in seen.items()}
    condition = agent.begin(raw, "matched-0.5").condition
    assert condition is not None
    assert condition[0].tolist() == [1.0, pytest.approx(0.5 * float(disagreement))]


@pytest.mark.parametrize("policy", ["flow", "afil"])
def test_triage_tries_failures_with_the_policy_that_is_named(
    policy: str, made_datasets: Path, tmp_path: Path
) -> None:
    recipe = replace(SMALL, seeds=(0,))
    prepared = api.prepare(made_datasets / "lift", tmp_path, recipe=recipe, chunk=5)
    found = api.triage_prepared(prepared, policy=policy, count=1)
    assert Scores.load(tmp_path / "scores.json").measure.key == "action-error"
    assert ActionErrors.load(tmp_path / "action_error.json").policy == policy
    kinds = {
        name: Checkpoint.load(run_folder(tmp_path, f"fold-0/{name}", 0)).config.kind
        for name in ("successes", "selected", "all")
    }
    assert kinds == {"successes": "flow", "selected": policy, "all": policy}
    assert found.recommendation.policy == policy
    lines = [command.line for command in found.recommendation.commands]
    assert any(f"--policy {policy}" in line for line in lines)


def test_a_policy_that_there_is_not_is_refused_before_anything_is_trained(
    made_datasets: Path, tmp_path: Path
) -> None:
    prepared = api.prepare(made_datasets / "lift", tmp_path, recipe=SMALL, chunk=5)
    with pytest.raises(UnknownName, match="unknown policy 'flo'"):
        api.triage_prepared(prepared, policy="flo")
    assert not (tmp_path / "runs").exists()

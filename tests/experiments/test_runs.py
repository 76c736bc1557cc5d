"""Jobs: as small as a path, done once, and found again on disk."""

from __future__ import annotations

import os
import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from outtakes import api
from outtakes.cli import main
from outtakes.errors import CheckpointError, ConfigError, DatasetError, UnknownName
from outtakes.evaluation.rollouts import RolloutLog
from outtakes.experiments.arm import policy_arm
from outtakes.experiments.lab import Lab
from outtakes.experiments.pipeline import train_policy
from outtakes.experiments.run_folders import check_asked
from outtakes.experiments.runs import ROLLOUTS, Job, do, is_done, rollouts_of, run_folder, train
from outtakes.policy.checkpoint import FILE, Checkpoint
from tests.demos import make_demos, small_train
from tests.experiments.small import SMALL, bias_jobs


@pytest.fixture
def rolled(made_datasets: Path, tmp_path: Path) -> Job:
    """A job that was trained and rolled out."""
    demos = api.load(made_datasets / "lift", recipe=SMALL)
    (job,) = bias_jobs(tmp_path, demos, evaluation=SMALL.evaluation)
    do([job])
    return job


def modified(job: Job) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in job.run.iterdir()}


@pytest.mark.parametrize("length", [6, 600])
def test_a_job_is_small_whatever_it_trains_on(tmp_path: Path, length: int) -> None:
    demos = make_demos(50, 50, length=(length, length + 1))
    (job,) = bias_jobs(tmp_path, demos, evaluation=SMALL.evaluation)
    assert len(job.arm.episodes) == 100
    assert len(pickle.dumps(job)) < 2_000
    assert pickle.loads(pickle.dumps(job)) == job


def test_a_job_leaves_a_run_and_a_rollout_of_each_state_under_each_steering(rolled: Job) -> None:
    assert rolled.run == run_folder(rolled.out, "pb", 0)
    assert Checkpoint.load(rolled.run).step == 2
    found = [(r.treatment, r.seed, r.initial_state) for r in rollouts_of(rolled)]
    assert found == [(f"pb ({how})", 0, i) for how in ("nearest", "mean") for i in (0, 1)]
    assert is_done(rolled)


def test_a_job_done_twice_does_nothing_the_second_time(rolled: Job) -> None:
    before = modified(rolled)
    do([rolled])
    assert modified(rolled) == before


def test_other_rollouts_are_made_of_the_run_that_is_there(rolled: Job) -> None:
    before = modified(rolled)
    more = replace(rolled, evaluation=replace(SMALL.evaluation, rollouts=3))
    assert not is_done(more)
    do([more])
    assert len(rollouts_of(more)) == 6
    assert modified(more)[FILE] == before[FILE]


def test_rollouts_older_than_their_run_are_made_again(rolled: Job) -> None:
    later = (rolled.run / FILE).stat().st_mtime + 10
    os.utime(rolled.run / FILE, (later, later))
    assert not is_done(rolled)


def test_a_log_that_was_kept_from_before_steerings_is_read(rolled: Job) -> None:
    """What is now the column `steering` stood in the arm's name."""
    import pyarrow.parquet as pq

    new = RolloutLog.load(rolled.run / ROLLOUTS)
    table = pq.read_table(rolled.run / ROLLOUTS)
    names = [f"{r.arm}-mean" if r.steering == "mean" else r.arm for r in new.rollouts]
    old = table.drop_columns(["arm", "steering"]).append_column("arm", [names])
    pq.write_table(old, rolled.run / ROLLOUTS)
    assert RolloutLog.load(rolled.run / ROLLOUTS) == new


def test_a_job_without_an_evaluation_only_trains(tmp_path: Path) -> None:
    (job,) = bias_jobs(tmp_path, make_demos())
    assert not is_done(job)
    do([job])
    assert is_done(job)
    assert rollouts_of(job) == []
    assert not is_done(replace(job, arm=replace(job.arm, training=small_train(steps=3))))


def test_a_folder_with_a_run_of_other_data_is_refused(tmp_path: Path) -> None:
    do(bias_jobs(tmp_path, make_demos()))
    with pytest.raises(CheckpointError, match="another dataset"):
        do(bias_jobs(tmp_path, make_demos(seed=1)))


def test_what_a_run_logs_reaches_the_monitor_of_its_seed(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    monitors = {seed: lambda step, _, seed=seed: seen.append((seed, step)) for seed in (0, 1)}
    train(bias_jobs(tmp_path, make_demos(), (0, 1)), monitors)
    assert sorted(seen) == [(0, 1), (0, 2), (1, 1), (1, 2)]


def test_a_policy_that_starts_from_another_trains_that_one_first(
    made_datasets: Path, tmp_path: Path
) -> None:
    demos = api.load(made_datasets / "lift", recipe=SMALL)
    (run,) = train_policy(Lab(replace(SMALL, seeds=(3,)), tmp_path), demos, "afil")
    assert run == run_folder(tmp_path, "afil", 3)
    base, tuned = Checkpoint.load(run_folder(tmp_path, "flow", 3)), Checkpoint.load(run)
    assert base.config.kind == "flow" and tuned.config.kind == "afil"
    assert base.training["ema"] == tuned.training["ema"] == 0.99
    assert tuned.training["balanced"] and not base.training["balanced"]
    for name, tensor in base.weights().items():
        assert torch.equal(tuned.weights()[name], tensor) == (not name.startswith("generator."))
    found = api.evaluate_runs(Lab(SMALL, tmp_path / "rolled"), [run])
    assert set(found.rates) == {"afil (adaptive-1)"}


@pytest.mark.parametrize(
    ("policy", "asked", "there_is"),
    [
        ("flow", "adaptive-2", "steering 'adaptive-2' of a policy that takes none"),
        ("afil", "adaptve-2", "adaptive-<number>, constant-<number>"),
        ("afil", "mean", "adaptive-<number>, constant-<number>"),
        ("afil", "constant--1", "alpha -1.0: choose a finite number of at least 0"),
        ("cfgrl", "adaptive-2", "guided-<number>"),
        ("cfgrl", "guided-nan", "strength nan: choose a finite number of at least 0"),
        ("act", "mean", "steering 'mean' of a policy that takes none"),
        ("act-pb", "adaptive-2", "mean, mean-of-all, nearest"),
    ],
)
def test_a_steering_that_a_policy_does_not_know_is_refused(policy, asked, there_is) -> None:
    arm = policy_arm(SMALL, policy, policy, policy, (0,))
    with pytest.raises(ConfigError) as refused:
        check_asked([arm.policy], asked)
    assert there_is in str(refused.value) and "\n" not in str(refused.value)


def test_policies_that_take_none_are_rolled_out_beside_the_others() -> None:
    plain, guided = (policy_arm(SMALL, n, n, n, (0,)).policy for n in ("flow", "afil"))
    check_asked([plain, guided], "constant-0.3")
    with pytest.raises(UnknownName, match="guidance 'guided-2'"):
        check_asked([plain, guided], "guided-2")


def test_a_mistyped_steering_is_one_line_and_exit_2(
    made_datasets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    demos = api.load(made_datasets / "lift", recipe=SMALL)
    (run,) = train_policy(Lab(replace(SMALL, seeds=(3,)), tmp_path), demos, "cfgrl")
    for more in ([], ["--until-clear"]):
        called = ["evaluate", str(run), "--steering", "gided-2", "--out", str(tmp_path), *more]
        with pytest.raises(SystemExit) as left:
            main(called)
        assert left.value.code == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert "unknown guidance 'gided-2'" in line and "guided-<number>" in line


def test_a_policy_of_both_outcomes_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no failure to learn from"):
        train_policy(Lab(SMALL, tmp_path), make_demos(4, 0), "afil")
    assert not list(tmp_path.iterdir())

"""Running many arms: here or in processes of their own, each run once."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import torch

from outtakes import api
from outtakes.errors import ArtifactError, CheckpointError
from outtakes.experiments.executor import Executor, Here, Processes, executor_for, run_all
from outtakes.experiments.runs import Job, do
from outtakes.policy.checkpoint import FILE, Checkpoint
from tests.demos import make_demos
from tests.experiments.small import SMALL, bias_jobs

DEMOS = make_demos()
CORES = os.cpu_count() or 1


@dataclass
class Recording:
    """An executor that does nothing but remember."""

    width: int
    groups: list[list[Job]] = field(default_factory=list)

    def run(self, groups: Sequence[Sequence[Job]]) -> Iterator[Job]:
        for jobs in groups:
            self.groups.append(list(jobs))
            yield from jobs


def groups_of(jobs: Sequence[Job], width: int) -> list[list[Job]]:
    """What an executor of this width is given to do."""
    executor = Recording(width)
    run_all(jobs, executor=executor)
    return executor.groups


def test_where_a_job_ran_does_not_show_in_what_it_left(made_datasets: Path, tmp_path: Path) -> None:
    demos = api.load(made_datasets / "lift", recipe=SMALL)
    executors: dict[str, Executor] = {"here": Here(width=2), "there": Processes(2)}
    logs, runs = [], []
    for name, executor in executors.items():
        jobs = bias_jobs(tmp_path / name, demos, (0, 1), evaluation=SMALL.evaluation)
        logs.append(run_all(jobs, executor=executor))
        runs.append([Checkpoint.load(job.run).tensors for job in jobs])
    assert logs[0] == logs[1]
    assert len(logs[0].rollouts) == 2 * 2 * 2
    for here, there in zip(*runs, strict=True):
        assert here.keys() == there.keys()
        assert all(torch.equal(here[name], there[name]) for name in here)


def test_an_error_of_a_worker_arrives(tmp_path: Path) -> None:
    (broken,) = bias_jobs(tmp_path, DEMOS)
    broken.run.mkdir(parents=True)
    (broken.run / FILE).write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match="train again") as caught:
        run_all([broken], executor=Processes(1))
    assert str(broken.run / FILE) in str(caught.value)


def test_one_core_is_used_for_as_long_as_runs_go_on(tmp_path: Path) -> None:
    before, seen = torch.get_num_threads(), []
    torch.set_num_threads(2)
    try:
        run_all(
            bias_jobs(tmp_path, DEMOS),
            executor=Here(),
            progress=lambda done, total, what: seen.append((done, torch.get_num_threads())),
        )
        assert seen == [(0, 2), (1, 1)]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_processes_are_started_only_for_work_that_is_left(tmp_path: Path) -> None:
    seeds = range(64)
    long = bias_jobs(tmp_path, DEMOS, seeds, steps=100_000)
    assert executor_for(long).width == min(CORES, 64)
    assert executor_for(bias_jobs(tmp_path, DEMOS, seeds)) == Here()
    assert executor_for([replace(long[0], device="cuda"), *long[1:]]) == Here("cuda")
    assert executor_for(long, workers=3) == Processes(3)


def test_what_is_done_is_no_work(tmp_path: Path) -> None:
    (finished,) = bias_jobs(tmp_path, DEMOS, steps=101)
    assert executor_for([finished] * 10).width == min(CORES, 10)
    do([finished])
    assert executor_for([finished] * 10) == Here()
    longer = replace(finished.arm, training=replace(finished.arm.training, steps=201))
    assert executor_for([replace(finished, arm=longer)] * 10).width == min(CORES, 10)


def test_seeds_of_one_arm_train_together_and_every_worker_has_work(tmp_path: Path) -> None:
    jobs = bias_jobs(tmp_path, DEMOS, range(12))
    assert [len(group) for group in groups_of(jobs, 1)] == [5, 5, 2]
    assert [len(group) for group in groups_of(jobs[:5], 2)] == [3, 2]


def test_arms_of_one_name_that_differ_in_their_episodes_train_apart(tmp_path: Path) -> None:
    jobs = bias_jobs(tmp_path, DEMOS, range(3))
    other = [replace(j, arm=replace(j.arm, episodes=j.arm.episodes[:4])) for j in jobs]
    mixed = [one for pair in zip(jobs, other, strict=True) for one in pair]
    assert groups_of(mixed, 1) == [jobs, other]


def test_what_cannot_be_stacked_trains_one_by_one(tmp_path: Path) -> None:
    noisy = bias_jobs(tmp_path, DEMOS, range(12), dropout=0.1)
    assert [len(group) for group in groups_of(noisy, 2)] == [1] * 12


def test_no_job_is_refused() -> None:
    with pytest.raises(ArtifactError, match="no arm to run"):
        run_all([])

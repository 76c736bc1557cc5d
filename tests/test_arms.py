"""Running many arms: in processes of their own, each run once."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from outtakes.arms import Arm, Job, _stacks, _worthwhile_workers, run_all, train_jobs
from outtakes.recipes import SMOKE

from outtakes.errors import CheckpointError
from outtakes.policy.checkpoint import FILE, Checkpoint
from tests.demos import make_demos, small_act, small_train

DEMOS = make_demos()


def job(out: Path, seed: int, *, steps: int = 2) -> Job:
    recipe = replace(SMOKE, act=small_act(), train=small_train(steps=steps))
    episodes = [int(episode) for episode in DEMOS.episode_indices]
    arm = Arm("pb", "PB", "pb", episodes)
    return Job(arm, seed, DEMOS, recipe, out, "cpu", roll_out=False)


def test_a_worker_ends_where_this_process_does_and_its_errors_arrive(tmp_path: Path) -> None:
    broken = job(tmp_path / "there", 1)
    broken.run.mkdir(parents=True)
    (broken.run / FILE).write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match="train again") as caught:
        run_all([job(tmp_path / "there", 0), broken], workers=2)
    assert str(broken.run / FILE) in str(caught.value)
    run_all([job(tmp_path / "here", 0)], workers=1)
    there, here = (Checkpoint.load(job(tmp_path / at, 0).run) for at in ("there", "here"))
    assert there.tensors.keys() == here.tensors.keys()
    assert all(torch.equal(there.tensors[name], here.tensors[name]) for name in here.tensors)


def test_one_core_is_used_for_as_long_as_runs_go_on(tmp_path: Path) -> None:
    before, seen = torch.get_num_threads(), []
    torch.set_num_threads(2)
    try:
        run_all(
            [job(tmp_path, 0)],
            workers=1,
            progress=lambda done, total, what: seen.append((done, torch.get_num_threads())),
        )
        assert seen == [(0, 2), (1, 1)]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_processes_are_started_only_for_work_that_is_left(tmp_path: Path) -> None:
    long = [job(tmp_path, seed, steps=100_000) for seed in range(64)]
    assert _worthwhile_workers(long) == min(os.cpu_count() or 1, 64)
    assert _worthwhile_workers([replace(long[0], device="cuda"), *long[1:]]) == 1
    assert _worthwhile_workers([job(tmp_path, seed) for seed in range(64)]) == 1


def test_a_finished_run_is_not_run_again(tmp_path: Path) -> None:
    first = job(tmp_path, 0)
    train_jobs([first])
    written = (first.run / FILE).stat().st_mtime_ns
    run_all([first], workers=1)
    assert (first.run / FILE).stat().st_mtime_ns == written
    long = [replace(first, recipe=replace(first.recipe, train=small_train(steps=100_000)))]
    assert _worthwhile_workers(long * 64) == min(os.cpu_count() or 1, 64)
    assert _worthwhile_workers([first] * 600) == 1


def test_seeds_of_one_arm_train_together_and_every_worker_has_work(tmp_path: Path) -> None:
    jobs = [job(tmp_path, seed) for seed in range(12)]
    assert [len(stack) for stack in _stacks(jobs, workers=1)] == [5, 5, 2]
    assert [len(stack) for stack in _stacks(jobs[:5], workers=2)] == [3, 2]
    other = [replace(j, arm=replace(j.arm, episodes=j.arm.episodes[:4])) for j in jobs[:3]]
    mixed = [one for pair in zip(jobs[:3], other, strict=True) for one in pair]
    stacks = _stacks(mixed, workers=1)
    assert [len(stack) for stack in stacks] == [3, 3]
    assert [stack[0].arm.episodes for stack in stacks] == [
        jobs[0].arm.episodes,
        other[0].arm.episodes,
    ]
    assert all(len({len(j.arm.episodes) for j in stack}) == 1 for stack in stacks)
    noisy = [replace(j, recipe=replace(j.recipe, act=small_act(dropout=0.1))) for j in jobs]
    assert [len(stack) for stack in _stacks(noisy, workers=2)] == [1] * 12

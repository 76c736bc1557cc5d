"""Running jobs: here or in processes of their own, each run once, from a reference to the data."""

from __future__ import annotations

import os
import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from outtakes.data.ref import DatasetRef, keep
from outtakes.errors import ArtifactError, CheckpointError
from outtakes.evaluation.controller import ControllerConfig
from outtakes.evaluation.evaluate import Evaluation
from outtakes.experiments import executor
from outtakes.experiments.arm import Arm
from outtakes.experiments.executor import Here, Processes, executor_for, groups_of, run_all
from outtakes.experiments.runs import Job, do, train
from outtakes.policy.checkpoint import FILE, Checkpoint
from outtakes.sim.initial_states import InitialStates, Stream
from tests.demos import make_demos, small_act, small_train
from tests.experiments.conftest import Finished

DEMOS = make_demos()


@pytest.fixture(scope="module")
def ref(tmp_path_factory) -> DatasetRef:
    return keep(DEMOS, cache_dir=tmp_path_factory.mktemp("cache"))


def job(ref: DatasetRef, out: Path, seed: int, *, steps: int = 2) -> Job:
    episodes = tuple(int(episode) for episode in DEMOS.episode_indices)
    arm = Arm("pb", "PB", episodes, small_act(), small_train(steps=steps))
    return Job(arm, seed, ref, out, "cpu")


def test_a_worker_ends_where_this_process_does_and_its_errors_arrive(ref, tmp_path: Path) -> None:
    broken = job(ref, tmp_path / "there", 1)
    broken.run.mkdir(parents=True)
    (broken.run / FILE).write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match="train again") as caught:
        run_all([job(ref, tmp_path / "there", 0), broken], executor=Processes(2))
    assert str(broken.run / FILE) in str(caught.value)
    run_all([job(ref, tmp_path / "there", 0)], executor=Processes(1))
    run_all([job(ref, tmp_path / "here", 0)], executor=Here())
    there, here = (Checkpoint.load(job(ref, tmp_path / at, 0).run) for at in ("there", "here"))
    assert there.tensors.keys() == here.tensors.keys()
    assert all(torch.equal(there.tensors[name], here.tensors[name]) for name in here.tensors)


def test_one_core_is_used_for_as_long_as_runs_go_on(ref, tmp_path: Path) -> None:
    before, seen = torch.get_num_threads(), []

    def progress(done: int, total: int, what: str) -> None:
        seen.append((done, torch.get_num_threads()))

    torch.set_num_threads(2)
    try:
        run_all([job(ref, tmp_path, 0)], executor=Here(), progress=progress)
        assert seen == [(0, 2), (1, 1)]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_processes_are_started_only_for_work_that_is_left(ref, tmp_path: Path) -> None:
    long = [job(ref, tmp_path, seed, steps=100_000) for seed in range(64)]
    assert executor_for(long) == Processes(min(os.cpu_count() or 1, 64))
    assert executor_for([replace(long[0], device="cuda"), *long[1:]]) == Here("cuda")
    assert executor_for([job(ref, tmp_path, seed) for seed in range(64)]) == Here()
    assert executor_for(long, workers=7) == Processes(7)


def test_a_finished_run_is_not_run_again(
    ref, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executor, "_STEPS_WORTH_PROCESSES", 1)
    first = job(ref, tmp_path, 0)
    train([first])
    written = (first.run / FILE).stat().st_mtime_ns
    run_all([first])
    do([first])
    assert (first.run / FILE).stat().st_mtime_ns == written
    assert executor_for([first] * 2) == Here()


def test_seeds_of_one_arm_train_together_and_every_worker_has_work(ref, tmp_path: Path) -> None:
    jobs = [job(ref, tmp_path, seed) for seed in range(12)]
    assert [len(group) for group in groups_of(jobs, 1)] == [5, 5, 2]
    assert [len(group) for group in groups_of(jobs[:5], 2)] == [3, 2]
    other = [replace(j, arm=replace(j.arm, episodes=j.arm.episodes[:4])) for j in jobs[:3]]
    mixed = [one for pair in zip(jobs[:3], other, strict=True) for one in pair]
    groups = groups_of(mixed, 1)
    assert [len(group) for group in groups] == [3, 3]
    assert [group[0].arm.episodes for group in groups] == [
        jobs[0].arm.episodes,
        other[0].arm.episodes,
    ]
    assert all(len({len(j.arm.episodes) for j in group}) == 1 for group in groups)
    noisy = [replace(j, arm=replace(j.arm, policy=small_act(dropout=0.1))) for j in jobs]
    assert [len(group) for group in groups_of(noisy, 2)] == [1] * 12


def test_a_job_is_small_whatever_the_dataset(ref, tmp_path: Path) -> None:
    whole = job(ref, tmp_path, 0)
    many = replace(whole, arm=replace(whole.arm, episodes=tuple(range(100))))
    evaluation = Evaluation(
        "lift", InitialStates(Stream.EVALUATE, 0), 100, None, ControllerConfig(), 96
    )
    assert len(pickle.dumps(replace(many, evaluation=evaluation))) < 2000
    assert pickle.loads(pickle.dumps(many)) == many


def test_every_run_is_told_with_the_rates_it_came_to(finished: Finished) -> None:
    rollouts = finished.folder.rollouts.rollouts
    told = [words for words in finished.told.words if ", seed " in words]
    for arm in {r.arm for r in rollouts}:
        for seed in (0, 1):
            own = [r for r in rollouts if (r.arm, r.seed) == (arm, seed)]
            won = {r.treatment: [q.success for q in own if q.treatment == r.treatment] for r in own}
            rates = ", ".join(f"{name} {sum(w) / len(w):.0%}" for name, w in won.items())
            assert told.count(f"train and roll out, seed {seed}: {rates}") == 1
    assert len(told) == 10


def test_nothing_to_run_is_refused() -> None:
    with pytest.raises(ArtifactError, match="no arm to run"):
        run_all([])

"""What runs jobs: this process, or several processes on this machine.

An executor is given jobs, which refer to their data and leave what they make on disk, and yields
each as it is finished. Which executor ran a group of jobs does not show in what it left.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import as_completed
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Protocol

import torch

from outtakes.errors import ArtifactError
from outtakes.evaluation.rollouts import RolloutLog
from outtakes.experiments.runs import Job, do, is_done, rollouts_of
from outtakes.processes import workers as worker_processes
from outtakes.progress import Progress

SEEDS_TOGETHER = 5
"""Seeds of one arm trained as one program, where they can be; more gain little."""
_STEPS_WORTH_PROCESSES = 1_000
"""Optimiser steps left to take above which it pays to start processes: each first spends some 6 s
importing torch and the simulator."""


class Executor(Protocol):
    """Runs jobs somewhere."""

    @property
    def width(self) -> int:
        """How many groups of jobs it runs at a time."""
        ...

    def run(self, groups: Sequence[Sequence[Job]]) -> Iterator[Job]:
        """Do every job, and yield each when it is done.

        Args:
            groups: jobs of one arm each, to be trained as one program; most urgent first.
        """
        ...


@dataclass(frozen=True)
class Here:
    """This process, one group after another; on the CPU with one core, as in a worker."""

    device: str = "cpu"
    width: int = 1

    def run(self, groups: Sequence[Sequence[Job]]) -> Iterator[Job]:
        """Do every job here."""
        with one_core() if self.device == "cpu" else nullcontext():
            for jobs in groups:
                do(jobs)
                yield from jobs


@dataclass(frozen=True)
class Processes:
    """Worker processes on this machine, a core each."""

    width: int

    def run(self, groups: Sequence[Sequence[Job]]) -> Iterator[Job]:
        """Do every job in some worker."""
        with worker_processes(self.width, initializer=_use_one_core) as pool:
            futures = {pool.submit(do, jobs): jobs for jobs in groups}
            for future in as_completed(futures):
                future.result()
                yield from futures[future]


def run_all(
    jobs: Sequence[Job], *, executor: Executor | None = None, progress: Progress | None = None
) -> RolloutLog:
    """Run every job and collect the rollouts.

    Args:
        jobs: what to run.
        executor: where; chosen by `executor_for` when None.
        progress: told at the start what was done before, and after every other run what was done
            last.

    Raises:
        ArtifactError: when there is no job.
    """
    if not jobs:
        raise ArtifactError("no arm to run", remedy="choose at least one arm and one seed")
    before = {job.run for job in jobs if is_done(job)} if progress else set()
    if progress:
        progress(len(before), len(jobs), "train and roll out" if jobs[0].evaluation else "train")
    executor, done = executor or executor_for(jobs), len(before)
    for job in executor.run(groups_of(jobs, executor.width)):
        if progress and job.run not in before:
            done += 1
            progress(done, len(jobs), _describe(job))
    return RolloutLog([rollout for job in jobs for rollout in rollouts_of(job)])


def executor_for(jobs: Sequence[Job], workers: int | None = None) -> Executor:
    """Where to run these jobs: on a GPU one after another; on the CPU a core each, if it pays.

    Args:
        jobs: what is to be run.
        workers: processes; as many as there are cores, or one for what is soon done, when None.
    """
    if workers is None:
        workers = _worthwhile_workers(jobs)
    return Here(jobs[0].device) if workers == 1 else Processes(workers)


def _worthwhile_workers(jobs: Sequence[Job]) -> int:
    if jobs[0].device != "cpu":
        return 1
    unfinished = [job for job in jobs if not is_done(job)]
    if sum(job.arm.training.steps for job in unfinished) < _STEPS_WORTH_PROCESSES:
        return 1
    return min(os.cpu_count() or 1, len(unfinished))


def groups_of(jobs: Sequence[Job], width: int) -> list[list[Job]]:
    """The jobs in groups that train as one program: seeds of one arm, first seeds first.

    There are at least as many groups as the executor runs at a time, as far as there are jobs.
    """
    size = min(SEEDS_TOGETHER, -(-len(jobs) // width))
    # Arms of one name may differ in their episodes from seed to seed, as random choices do.
    alike: dict[tuple[object, ...], list[Job]] = {}
    for job in jobs:
        alike.setdefault((job.arm, job.out), []).append(job)
    groups = []
    for own in alike.values():
        together = size if own[0].arm.policy.stackable else 1
        groups += [own[i : i + together] for i in range(0, len(own), together)]
    place = {job.run: i for i, job in enumerate(jobs)}
    return sorted(groups, key=lambda group: place[group[0].run])


def _use_one_core() -> None:
    torch.set_num_threads(1)


@contextmanager
def one_core() -> Iterator[None]:
    """As in a worker, so that a run ends bitwise the same in either place."""
    before = torch.get_num_threads()
    _use_one_core()
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _describe(job: Job) -> str:
    rollouts = rollouts_of(job)
    if not rollouts:
        return f"train {job.arm.label}, seed {job.seed}"
    won = {
        name: [r.success for r in rollouts if r.treatment == name]
        for name in job.arm.treatments.values()
    }
    rates = ", ".join(f"{name} {sum(own) / len(own):.0%}" for name, own in won.items())
    return f"train and roll out, seed {job.seed}: {rates}"

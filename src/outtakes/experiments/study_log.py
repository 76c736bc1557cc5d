"""What a study has rolled out so far: a log that outlives the run folders.

A study takes many hours and more machines than one. Its folder keeps every rollout in
`rollouts.parquet` and, in `recorded.json`, what each run was: a run that stands there is not done
again, though its checkpoint be gone, and one of other data or settings is refused.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from outtakes.data.demo import DemoSet
from outtakes.data.ref import DatasetRef
from outtakes.errors import ArtifactError
from outtakes.evaluation.prediction import HeldOutErrors
from outtakes.evaluation.rollouts import RolloutLog
from outtakes.experiments.executor import executor_for, groups_of
from outtakes.experiments.lab import Lab
from outtakes.experiments.runs import ROLLOUTS, Job, errors_of, evaluation_settings, rollouts_of
from outtakes.files import read_json, write_json
from outtakes.policy.policy import PolicyConfig
from outtakes.training.config import TrainConfig

RECORDED = "recorded.json"
_SECONDS_BETWEEN_SAVES = 60


def run_recorded(lab: Lab, jobs: Sequence[Job]) -> RolloutLog:
    """Do the jobs that the study's log lacks, and keep what they came to in it.

    Args:
        lab: the study's folder, and how many processes.
        jobs: each with an evaluation.

    Returns:
        The rollouts of these jobs, in their order, whenever they were made.

    Raises:
        ArtifactError: when a run of this name was recorded with other data or settings.
    """
    return _recorded(lab, jobs).of(jobs)


def held_out_recorded(lab: Lab, jobs: Sequence[Job]) -> list[dict[str, HeldOutErrors]]:
    """Do the jobs that the study's log lacks; what their policies predict of what they held out.

    Args:
        lab: the study's folder, and how many processes.
        jobs: each with demonstrations held out.

    Returns:
        Of every job, stage -> action errors.

    Raises:
        ArtifactError: when a run of this name was recorded with other data or settings.
    """
    recorded = _recorded(lab, jobs)
    return [recorded.held_out[_name(job)] for job in jobs]


def _recorded(lab: Lab, jobs: Sequence[Job]) -> _Recorded:
    """The log, when it has all of these."""
    identities = {_name(job): _identity(job) for job in jobs}
    recorded = _load(lab.out)
    _check_same(recorded.identities, identities, lab.out)
    todo = [job for job in jobs if _name(job) not in recorded.identities]
    lab.say(len(jobs) - len(todo), len(jobs), "train and roll out")
    if todo:
        executor = executor_for(todo, lab.workers)
        saved = time.monotonic()
        for done, job in enumerate(executor.run(groups_of(todo, executor.width)), start=1):
            recorded.add(job, identities[_name(job)])
            lab.say(len(jobs) - len(todo) + done, len(jobs), f"{job.arm.name} seed {job.seed}")
            if time.monotonic() - saved > _SECONDS_BETWEEN_SAVES:
                recorded.save(lab.out)
                saved = time.monotonic()
        recorded.save(lab.out)
    return recorded


class _Recorded:
    """The log as it grows."""

    def __init__(
        self,
        log: RolloutLog,
        identities: Mapping[str, str],
        held_out: Mapping[str, dict[str, HeldOutErrors]],
    ) -> None:
        self.identities = dict(identities)
        self.held_out = dict(held_out)
        self._by_run: dict[tuple[str, int], list] = {}
        for rollout in log.rollouts:
            self._by_run.setdefault((rollout.arm, rollout.seed), []).append(rollout)

    def add(self, job: Job, identity: str) -> None:
        for rollout in rollouts_of(job):
            self._by_run.setdefault((rollout.arm, rollout.seed), []).append(rollout)
        if errors := errors_of(job):
            self.held_out[_name(job)] = errors
        self.identities[_name(job)] = identity

    def of(self, jobs: Sequence[Job]) -> RolloutLog:
        return RolloutLog(
            [r for job in jobs for s in job.stages for r in self._by_run[(s.name, job.seed)]]
        )

    def save(self, out: Path) -> None:
        RolloutLog([r for own in self._by_run.values() for r in own]).save(out / ROLLOUTS)
        held_out = {
            name: {stage: errors.as_json() for stage, errors in own.items()}
            for name, own in self.held_out.items()
        }
        content = {"runs": self.identities, **({"held_out": held_out} if held_out else {})}
        # Written last: what it names is whole.
        write_json(out / RECORDED, "recorded", 1, content)


def _load(out: Path) -> _Recorded:
    if not (out / RECORDED).exists():
        return _Recorded(RolloutLog([]), {}, {})
    content = read_json(out / RECORDED, "recorded", 1)
    identities = content["runs"]
    held_out = {
        name: {stage: HeldOutErrors.parse(errors) for stage, errors in own.items()}
        for name, own in content.get("held_out", {}).items()
    }
    log = RolloutLog.load(out / ROLLOUTS)
    # Of a study that was killed between the two files, rollouts may be there that are not named.
    named = {tuple(name.rsplit("/seed-", 1)) for name in identities}
    whole = [r for r in log.rollouts if (r.arm.partition("@")[0], str(r.seed)) in named]
    return _Recorded(RolloutLog(whole), identities, held_out)


def _name(job: Job) -> str:
    return f"{job.arm.name}/seed-{job.seed}"


def _identity(job: Job) -> str:
    """A hash of all that decides the job's rollouts; a setting left at its default is not in it,
    so that settings may be added."""
    training = _departures(job.arm.training)
    whole = {
        "policy": {"kind": job.arm.policy.kind, **_departures(job.arm.policy)},
        "training": {n: v for n, v in training.items() if n not in ("save_every", "log_every")},
        "demonstrations": _numbers(job.dataset, job.arm.episodes),
        "stops": list(job.stops),
        "evaluation": job.evaluation and evaluation_settings(job, job.evaluation),
    }
    if job.held_out:
        held_out = _numbers(job.dataset, job.held_out)
        whole["held_out"] = {"of": held_out, "steerings": list(job.arm.steerings)}
    if job.arm.base is not None:
        start = replace(job, arm=job.arm.base, evaluation=None, stops=())
        whole["base"] = _identity(start)
    return hashlib.sha256(json.dumps(whole, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _numbers(dataset: DatasetRef, episodes: tuple[int, ...]) -> str:
    """A hash of what is learnt from, but for pictures: the same demonstrations collected again need
    not have the same bytes on disk."""
    demos = _opened(dataset).subset(episodes)
    digest = hashlib.sha256(json.dumps([list(episodes), demos.successes.tolist()]).encode())
    for demo in demos:
        for array in (demo.state, demo.environment_state, demo.action):
            digest.update(np.ascontiguousarray(array, np.float32).tobytes())
    return digest.hexdigest()


@lru_cache(maxsize=2)
def _opened(dataset: DatasetRef) -> DemoSet:
    return dataset.open(())


def _departures(settings: TrainConfig | PolicyConfig) -> dict[str, object]:
    """The settings that are not at their defaults."""
    own, default = asdict(settings), asdict(type(settings)())
    return {name: value for name, value in own.items() if value != default[name]}


def _check_same(found: Mapping[str, str], wanted: Mapping[str, str], out: Path) -> None:
    other = [name for name, identity in wanted.items() if found.get(name, identity) != identity]
    if other:
        raise ArtifactError(
            f"{other[0]} was recorded with other data or settings",
            where=out / RECORDED,
            remedy="give another --out, or the dataset and settings it was begun with",
        )

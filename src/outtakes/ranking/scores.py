"""Scores: the failures of a dataset ranked by a measure, averaged over training seeds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from outtakes.data.demo import DemoSet
from outtakes.errors import ArtifactError, ConfigError
from outtakes.files import Location, load_json, write_json
from outtakes.progress import Progress
from outtakes.ranking.measure import ATTENTION, End, Measure
from outtakes.ranking.ranker import DatasetRanker, Plane, Ranker, RunRanker, RunScores
from outtakes.ranking.within_tasks import comparable, join, unranked

if TYPE_CHECKING:
    from outtakes.policy.checkpoint import Checkpoint

_KIND, _VERSION = "scores", 2


@dataclass(frozen=True)
class FailureScore:
    """One failed demonstration's score from every training seed, and the evidence for it."""

    episode: int
    """Episode index in the dataset."""
    task: str = field(default="", kw_only=True)
    """What the robot was asked to do; "" where nothing is said."""
    per_seed: Mapping[int, float]
    """Training seed -> score, in the measure's unit."""
    over_time: Sequence[float] = ()
    """(T,) the measure at each frame, averaged over seeds, interpolated where it is not known; or
    empty."""
    nearest_success: int | None = None
    """Episode index of the success at the least distance, averaged over seeds; None when the
    measure compares with no single success."""
    standard_error: float | None = None
    """Of `mean`, over other samples, when it was estimated from one. It says nothing of how
    training seeds differ."""

    @property
    def mean(self) -> float:
        """The score averaged over the training seeds."""
        return float(np.mean(list(self.per_seed.values())))


@dataclass(frozen=True)
class Scores:
    """The ranking of every failure of a dataset.

    Raises:
        ArtifactError: when failures disagree about the seeds, or a value is not finite.
    """

    measure: Measure
    dataset: str
    """Name of the dataset, for messages."""
    content_hash: str
    """Content hash of the dataset the runs were trained on."""
    successes: Sequence[int]
    """Episode indices of the successes that the failures were compared with."""
    failures: Sequence[FailureScore]
    """One entry a failed demonstration, in dataset order."""
    kendall_tau: float | None = None
    """Mean rank agreement of all pairs of seeds, in [-1, 1]; None with a single seed."""
    plane: Plane | None = None
    """The demonstrations as the first seed's run sees them, if the measure shows that."""
    unranked: Sequence[int] = ()
    """Episode indices of failures whose task has no success to compare them with."""

    def __post_init__(self) -> None:
        seeds = {tuple(sorted(f.per_seed)) for f in self.failures}
        if len(seeds) != 1 or not next(iter(seeds)):
            raise ArtifactError(
                f"failures were scored with different seeds {sorted(seeds)}",
                where=self.dataset,
                remedy="rank again with the same runs for every failure",
            )
        bad = [f.episode for f in self.failures if not np.isfinite(f.mean)]
        if bad:
            raise ArtifactError(
                f"the score of episode {bad[0]} is not finite",
                where=self.dataset,
                remedy="train again; the run diverged",
            )

    @property
    def seeds(self) -> list[int]:
        """Training seeds the scores were averaged over."""
        return sorted(self.failures[0].per_seed)

    @property
    def tasks(self) -> list[str]:
        """The tasks of the failures, in the order in which they first occur."""
        return list(dict.fromkeys(failure.task for failure in self.failures))

    @property
    def outcomes(self) -> dict[int, bool]:
        """Episode index -> success, of every episode that was looked at."""
        failures = dict.fromkeys([*(f.episode for f in self.failures), *self.unranked], False)
        return {**dict.fromkeys(self.successes, True), **failures}

    def ranked(self) -> list[FailureScore]:
        """The failures, those expected to teach most first; ties go by episode index.

        Scores of different tasks are not to be compared, so those of several tasks are ordered by
        the share of their own task's failures that they rank behind: the first n of the ranking are
        the first of each task, as many as its share of the failures.
        """
        placed = [
            ((place + 0.5) / len(own), failure)
            for own in self.by_task().values()
            for place, failure in enumerate(own)
        ]
        return [failure for _, failure in sorted(placed, key=lambda p: (p[0], p[1].episode))]

    def by_task(self) -> dict[str, list[FailureScore]]:
        """Task -> its failures, those expected to teach most first; ties go by episode index."""
        sign = 1 if self.measure.useful is End.LOW else -1
        ordered = sorted(self.failures, key=lambda f: (sign * f.mean, f.episode))
        return {task: [f for f in ordered if f.task == task] for task in self.tasks}

    @staticmethod
    def of(
        measure: Measure,
        runs: Sequence[RunScores],
        dataset: str,
        content_hash: str,
        tasks: Mapping[int, str] | None = None,
    ) -> Scores:
        """The average over training seeds, and the agreement between them, within tasks.

        Raises:
            ArtifactError: when runs scored different episodes, or one seed appears twice.
        """
        _check_alike(runs, dataset)
        values = np.stack([run.values for run in runs])
        own = [(tasks or {}).get(episode, "") for episode in runs[0].failures]
        return Scores(
            measure=measure,
            dataset=dataset,
            content_hash=content_hash,
            successes=list(runs[0].successes),
            failures=[_failure_score(runs, i, task) for i, task in enumerate(own)],
            kendall_tau=_agreement(values, own) if len(runs) > 1 else None,
            plane=runs[0].plane,
        )

    def save(self, path: Location) -> None:
        """Write `scores.json`."""
        content = {
            "measure": self.measure.as_json(),
            "dataset": self.dataset,
            "content_hash": self.content_hash,
            "successes": list(self.successes),
            "kendall_tau": self.kendall_tau,
            "unranked": list(self.unranked),
            "failures": [self._entry(failure) for failure in self.failures],
            "plane": None
            if self.plane is None
            else {"title": self.plane.title, "points": [list(p) for p in self.plane.points]},
        }
        write_json(path, _KIND, _VERSION, content)

    def _entry(self, failure: FailureScore) -> dict[str, Any]:
        of_each = {"per_success": failure.mean / len(self.successes)} if self.measure.summed else {}
        return {
            "episode": failure.episode,
            "task": failure.task,
            "score": failure.mean,
            **of_each,
            "standard_error": failure.standard_error,
            "per_seed": {str(seed): value for seed, value in failure.per_seed.items()},
            "nearest_success": failure.nearest_success,
            "over_time": [float(value) for value in failure.over_time],
        }

    @staticmethod
    def load(path: Location) -> Scores:
        """Read `scores.json`, of this version or the one before, which knew one measure alone.

        Raises:
            ArtifactError: when it is missing, damaged or of another version.
        """
        return load_json(path, _KIND, (1, _VERSION), _parse_any, remedy="rank again")


def _parse_any(content: Mapping[str, Any]) -> Scores:
    return _parse(_updated(content) if content["version"] == 1 else content)


def _parse(content: Mapping[str, Any]) -> Scores:
    failures = [
        FailureScore(
            episode=int(f["episode"]),
            task=f.get("task", ""),
            per_seed={int(seed): float(k) for seed, k in f["per_seed"].items()},
            over_time=[float(k) for k in f["over_time"]],
            nearest_success=_optional(int, f["nearest_success"]),
            standard_error=_optional(float, f.get("standard_error")),
        )
        for f in content["failures"]
    ]
    plane = content["plane"]
    return Scores(
        measure=Measure.from_json(content["measure"]),
        dataset=content["dataset"],
        content_hash=content["content_hash"],
        successes=[int(episode) for episode in content["successes"]],
        failures=failures,
        unranked=tuple(int(episode) for episode in content.get("unranked", ())),
        kendall_tau=content["kendall_tau"],
        plane=None
        if plane is None
        else Plane(
            plane["title"],
            [(int(e), bool(s), float(x), float(y)) for e, s, x, y in plane["points"]],
        ),
    )


def _updated(content: Mapping[str, Any]) -> dict[str, Any]:
    """A file of version 1 as this version has it."""
    points = content["bias_map"]
    failures = [{**f, "standard_error": f.get("k_standard_error")} for f in content["failures"]]
    return {
        **content,
        "measure": ATTENTION.as_json(),
        "successes": [episode for episode, success, _, _ in points if success],
        "failures": failures,
        "plane": {"title": "parametric bias", "points": points},
    }


def _optional[T](kind: Callable[[Any], T], value: Any) -> T | None:
    return None if value is None else kind(value)


def rank(
    ranker: Ranker,
    runs: Iterable[Checkpoint],
    demos: DemoSet,
    *,
    device: str = "cpu",
    progress: Progress | None = None,
) -> Scores:
    """Score every failure within its task, by each of these runs or once without any, and average.

    Args:
        ranker: by what.
        runs: trained as its measure needs, one a seed; taken one at a time.
        demos: the dataset they were trained on.
        device: where to compute.
        progress: told of every run.

    Raises:
        ArtifactError: when runs scored different episodes, or one seed appears twice.
        CheckpointError: when a run is of another kind or of other data.
        ConfigError: when there is no run, and one is needed.
        DatasetError: when there is no success or no failure, or no task that has both.
    """
    tasks = comparable(demos)
    if isinstance(ranker, DatasetRanker):
        scored = [join([ranker.score(own, progress=progress) for own in tasks])]
    else:
        scored = _by_each(ranker, runs, tasks, device, progress)
    scores = Scores.of(ranker.measure, scored, demos.name, demos.content_hash, demos.task_of())
    return replace(scores, unranked=unranked(demos))


def _by_each(
    ranker: RunRanker,
    runs: Iterable[Checkpoint],
    tasks: Sequence[DemoSet],
    device: str,
    progress: Progress | None,
) -> list[RunScores]:
    """What each run says of the failures of all tasks."""
    scored = []
    for done, run in enumerate(runs):
        if progress:
            progress(done, done + 1, f"rank with seed {run.seed}")
        own = [_by_one(ranker, run, demos, device, progress) for demos in tasks]
        scored.append(join(own))
    if not scored:
        raise ConfigError(
            f"no run to rank by {ranker.measure.key}",
            remedy=f"give runs of {ranker.measure.needs}",
        )
    if progress:
        progress(len(scored), len(scored), "rank")
    return scored


def _by_one(
    ranker: RunRanker, run: Checkpoint, demos: DemoSet, device: str, progress: Progress | None
) -> RunScores:
    """What a run says of one task, by what it learnt of it; its frozen eyes look first."""
    from outtakes.policy.eyes.looking import look

    if run.tasks:
        run = run.of_demonstrations(set(demos.episode_indices.tolist()))
    eyes = run.config.eyes
    seen = demos if eyes is None else look(demos, eyes, device=device, progress=progress)
    return ranker.score(run, seen, device=device)


# --- averaging over seeds -------------------------------------------------------------------------


def _check_alike(runs: Sequence[RunScores], dataset: str) -> None:
    first = runs[0]
    if any((r.failures, r.successes) != (first.failures, first.successes) for r in runs):
        raise ArtifactError(
            "the runs scored different episodes", where=dataset, remedy="rank runs of one dataset"
        )
    if len({run.seed for run in runs}) != len(runs):
        raise ArtifactError(
            "one seed appears twice", where=dataset, remedy="rank runs of different seeds"
        )


def _failure_score(runs: Sequence[RunScores], i: int, task: str) -> FailureScore:
    """Failure i averaged over runs; row by row, so that no second (F, S) array is made."""
    distances = [run.distances[i] for run in runs if run.distances is not None]
    curves = [run.over_time[i] for run in runs if len(run.over_time)]
    errors = [run.standard_errors[i] for run in runs if run.standard_errors is not None]
    return FailureScore(
        episode=runs[0].failures[i],
        task=task,
        per_seed={run.seed: float(run.values[i]) for run in runs},
        over_time=[float(v) for v in _between_known(_mean_of_known(curves))] if curves else [],
        nearest_success=_nearest(runs[0].successes, distances) if distances else None,
        # Every seed drew a sample of its own, so their errors are independent.
        standard_error=float(np.linalg.norm(errors)) / len(runs) if errors else None,
    )


def _nearest(successes: Sequence[int], distances: Sequence[np.ndarray]) -> int:
    mean = _mean_of_known(distances)
    return successes[int(np.where(np.isnan(mean), np.inf, mean).argmin())]


def _mean_of_known(rows: Sequence[np.ndarray]) -> np.ndarray:
    """Mean over rows of what is not NaN; NaN where nothing is known."""
    stacked = np.stack(rows).astype(np.float64)
    with np.errstate(invalid="ignore"):
        return np.nansum(stacked, axis=0) / np.isfinite(stacked).sum(axis=0)


def _between_known(values: np.ndarray) -> np.ndarray:
    """The values, with what is unknown interpolated linearly, or as the nearest at the ends."""
    known = np.flatnonzero(np.isfinite(values))
    if not len(known):
        return values
    return np.interp(np.arange(len(values)), known, values[known])


def _agreement(values: np.ndarray, tasks: Sequence[str]) -> float:
    """Kendall's τ between seeds of (n, items), over the pairs of items of one task."""
    own = [np.flatnonzero(np.array(tasks) == task) for task in dict.fromkeys(tasks)]
    pairs = [max(len(items) * (len(items) - 1), 1) for items in own]
    return float(np.average([kendall_tau(values[:, items]) for items in own], weights=pairs))


def kendall_tau(rankings: np.ndarray) -> float:
    """Mean Kendall τ-a over all pairs of rows of an (n, items) array, in [-1, 1]."""
    n, items = rankings.shape
    if items < 2:
        return 1.0
    concordance = np.zeros((n, n))
    for i in range(items - 1):  # all pairs of items at once would be a gigabyte for thousands
        order = np.sign(rankings[:, i, None] - rankings[:, i + 1 :])
        concordance += order @ order.T
    return float(concordance[np.triu_indices(n, k=1)].mean() * 2 / (items * (items - 1)))

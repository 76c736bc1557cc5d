"""From the artifacts of an experiment's folder to what its report shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from outtakes.data.demo import DemoSet
from outtakes.evaluation.comparison import Comparison
from outtakes.evaluation.exhibits import RetrievalPlane, load_films
from outtakes.evaluation.recommendation import recommend
from outtakes.evaluation.statistics import spearman
from outtakes.experiments.advice import evidence_in
from outtakes.experiments.budgets import AT_RANDOM
from outtakes.experiments.folder import FILMS, RETRIEVAL, Folder
from outtakes.experiments.held_out import ActionErrors
from outtakes.experiments.overview import counts
from outtakes.experiments.runs import run_folder
from outtakes.policy.checkpoint import FILE, Checkpoint
from outtakes.ranking.attention.scoring import bias_plane
from outtakes.ranking.ranker import Plane
from outtakes.ranking.scores import FailureScore
from outtakes.report.content import (
    SUCCESS_RATE,
    ArmRow,
    Correlation,
    Curve,
    DemonstrationMap,
    FailureCard,
    MapPoint,
    MeasureWords,
    Query,
    ReportContent,
    RetrievalMap,
    RolloutVideo,
    TaskCounts,
)
from outtakes.report.media import write_thumbnails, write_video

_THUMBNAILS = 6
_MAP_THUMBNAILS = 8

_PROXY = "action error on held-out successes"


def present(folder: Folder) -> ReportContent:
    """What the report of an experiment's folder shows; renders its media into `media/` there.

    Raises:
        ArtifactError: when it holds no experiment, or an artifact is damaged.
    """
    scores = folder.scores
    measure = scores.measure
    return ReportContent(
        title=f"Outtakes: {folder.setup.title}",
        recommendation=folder.recommendation or recommend(evidence_in(folder)),
        **_measured(folder),
        curves=_curves(folder),
        ranked_by=MeasureWords(
            measure.name, measure.symbol, measure.unit, measure.meaning, measure.over_time
        ),
        cards=_cards(folder),
        kendall_tau=scores.kendall_tau,
        n_successes=len(scores.successes),
        tasks=_tasks(folder.demos),
        maps=_maps(folder),
        retrieval=_retrieval(folder),
        rollout_videos=_rollout_videos(folder),
        correlation=_correlation(folder),
        provenance=folder.setup.provenance,
    )


# --- the measured table ---------------------------------------------------------------------------


def _measured(folder: Folder) -> dict[str, Any]:
    if folder.comparison is not None:
        return _success_rates(folder, folder.comparison)
    if folder.action_errors is not None:
        return _action_errors(folder, folder.action_errors)
    return {"measure": SUCCESS_RATE, "higher_is_better": True, "measure_note": "", "arms": []}


def _success_rates(folder: Folder, comparison: Comparison) -> dict[str, Any]:
    n_states = comparison.rates[comparison.baseline].n_rollouts
    n_states //= comparison.rates[comparison.baseline].n_seeds
    return {
        "measure": SUCCESS_RATE,
        "higher_is_better": True,
        "measure_note": f"Rollouts in simulation from the same {n_states} initial states in every "
        "arm and seed. Intervals are for other training seeds and other initial states; p is "
        "adjusted for the number of arms (Holm).",
        "arms": [_success_row(folder, comparison, arm) for arm in comparison.rates],
    }


def _success_row(folder: Folder, comparison: Comparison, arm: str) -> ArmRow:
    rate, difference = comparison.rates[arm], comparison.differences.get(arm)
    return ArmRow(
        arm=folder.label(arm),
        mean=rate.rate,
        low=rate.low,
        high=rate.high,
        per_seed=rate.per_seed,
        difference=difference.difference if difference else None,
        difference_low=difference.low if difference else None,
        difference_high=difference.high if difference else None,
        p=comparison.adjusted_p.get(arm),
        paper=folder.setup.paper.get(arm, ""),
    )


def _curves(folder: Folder) -> list[Curve]:
    if folder.budgets is None:
        return []
    return [
        Curve(_curve_label(folder, way), c.steps, c.means.tolist(), c.best)
        for way, c in folder.budgets.curves.items()
    ]


def _curve_label(folder: Folder, way: str) -> str:
    return f"ACT, {AT_RANDOM} random failures" if way == f"act-{AT_RANDOM}" else folder.label(way)


def _action_errors(folder: Folder, errors: ActionErrors) -> dict[str, Any]:
    return {
        "measure": _PROXY,
        "higher_is_better": False,
        "measure_note": "Cross-validated: mean absolute error of the predicted action chunk on "
        "successes the policy was not trained on, in standard deviations of the actions. A "
        "policy can imitate better and still succeed less often.",
        "arms": [_error_row(folder, errors, arm) for arm in errors.errors],
    }


def _error_row(folder: Folder, errors: ActionErrors, arm: str) -> ArmRow:
    estimate, difference = errors.means[arm], errors.differences.get(arm)
    return ArmRow(
        arm=folder.label(arm),
        mean=estimate.difference,
        low=estimate.low,
        high=estimate.high,
        per_seed=[float(seed) for seed in errors.errors[arm].mean(axis=1)],
        difference=difference.difference if difference else None,
        difference_low=difference.low if difference else None,
        difference_high=difference.high if difference else None,
        p=errors.adjusted_p.get(arm),
    )


def _tasks(demos: DemoSet) -> list[TaskCounts]:
    found = counts(demos)
    if len(found) < 2:
        return []
    return [TaskCounts(task, own["successes"], own["failures"]) for task, own in found.items()]


# --- failures -------------------------------------------------------------------------------------


def _cards(folder: Folder) -> list[FailureCard]:
    demos, camera = folder.demos, _camera(folder.demos)
    row = {int(e): i for i, e in enumerate(demos.episode_indices)}
    kept = set(folder.selection.kept)
    reasons = {choice.episode: choice.reason for choice in folder.selection.choices}
    cards = []
    own = folder.scores.by_task()
    places = {f.episode: i for ranked in own.values() for i, f in enumerate(ranked, start=1)}
    for failure in folder.scores.ranked():
        facts = folder.metadata.get(failure.episode, {})
        pictures: dict[str, Any] = {}
        if camera:
            frames = demos[row[failure.episode]].images[camera]
            pictures = {
                "video": _video(folder, failure.episode, frames),
                "thumbnails": write_thumbnails(
                    folder.out / "media" / "episodes",
                    f"episode-{failure.episode}",
                    frames,
                    _THUMBNAILS,
                ),
            }
        if camera and failure.nearest_success is not None:
            nearest = demos[row[failure.nearest_success]].images[camera]
            pictures["nearest_video"] = _video(folder, failure.nearest_success, nearest)
        task = failure.task if len(own) > 1 else ""
        place = places[failure.episode]
        card = _card(demos.fps, place, failure, kept, reasons, facts, pictures)
        cards.append(replace(card, task=task))
    return cards


def _card(
    fps: float,
    place: int,
    failure: FailureScore,
    kept: set[int],
    reasons: Mapping[int, str],
    facts: Mapping[str, Any],
    pictures: Mapping[str, Any],
) -> FailureCard:
    return FailureCard(
        episode=failure.episode,
        rank=place,
        score=failure.mean,
        per_seed=failure.per_seed,
        over_time=failure.over_time,
        kept=failure.episode in kept,
        reason=reasons[failure.episode],
        nearest_success=failure.nearest_success,
        fps=fps,
        mistake=str(facts.get("mistake", "")),
        mistake_size=facts.get("mistake_size"),
        mistake_unit=str(facts.get("mistake_unit", "")),
        **pictures,
    )


def _camera(demos: DemoSet) -> str:
    """The camera to show: the overhead one, else the first; "" without images."""
    names = sorted(demos.images)
    return next((name for name in names if "overhead" in name), next(iter(names), ""))


def _video(folder: Folder, episode: int, frames: np.ndarray) -> Path:
    path = folder.out / "media" / "episodes" / f"episode-{episode}.mp4"
    return path if path.exists() else write_video(path, frames, folder.demos.fps)


def _correlation(folder: Folder) -> Correlation | None:
    """The measure against the size of the operator's mistake, as a share of the kind's largest."""
    pairs = []
    for failure in folder.scores.failures:
        facts = folder.metadata.get(failure.episode, {})
        if facts.get("mistake", "none") != "none":
            pairs.append((float(facts["mistake_share"]), failure.mean, str(facts["mistake"])))
    found = spearman([p[0] for p in pairs], [p[1] for p in pairs]) if len(pairs) > 3 else None
    if found is None:
        return None
    return Correlation(
        rho=found.rho,
        low=found.low,
        high=found.high,
        p=found.p,
        n=found.n,
        pairs=pairs,
        size_label="size of the mistake, as a share of the largest of its kind",
    )


# --- maps and videos ------------------------------------------------------------------------------


def _maps(folder: Folder) -> list[DemonstrationMap]:
    """How runs see the demonstrations: those that ranked, and one that was retrained."""
    seed, retrained = folder.setup.seed, folder.setup.retrained
    planes = {"Trained on all failures": folder.scores.plane}
    run = run_folder(folder.out, retrained, seed)
    if retrained and (run / FILE).exists():
        planes["Retrained on the selected failures"] = bias_plane(Checkpoint.load(run))
    scores = {failure.episode: failure.mean for failure in folder.scores.failures}
    return [_map(title, plane, scores) for title, plane in planes.items() if plane is not None]


def _map(title: str, plane: Plane, scores: Mapping[int, float]) -> DemonstrationMap:
    points = [MapPoint(e, success, x, y, scores.get(e)) for e, success, x, y in plane.points]
    return DemonstrationMap(title, plane.title, points)


def _retrieval(folder: Folder) -> RetrievalMap | None:
    plane = RetrievalPlane.load(folder.out / RETRIEVAL)
    if plane is None:
        return None
    camera = _camera(folder.demos)
    thumbnails = {}
    for demo in folder.demos.subset(_spread([e for e, _, _ in plane.bank], _MAP_THUMBNAILS)):
        if camera:
            thumbnails[demo.episode_index] = write_thumbnails(
                folder.out / "media" / "episodes",
                f"first-{demo.episode_index}",
                demo.images[camera][:1],
                1,
            )[0]
    return RetrievalMap(
        x_label=f"{plane.label}, principal component 1",
        y_label=f"{plane.label}, principal component 2",
        bank=[MapPoint(episode, True, x, y) for episode, x, y in plane.bank],
        queries=[Query(*query) for query in plane.queries],
        thumbnails=thumbnails,
    )


def _spread(episodes: list[int], count: int) -> list[int]:
    """At most `count` of them, evenly spaced."""
    return episodes[:: max(1, -(-len(episodes) // count))]


def _rollout_videos(folder: Folder) -> list[RolloutVideo]:
    films = load_films(folder.out / FILMS)
    return [
        RolloutVideo(f.initial_state, folder.label(f.arm), f.success, folder.out / f.video)
        for f in sorted(films, key=lambda film: film.initial_state)
    ]

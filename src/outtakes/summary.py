"""From the artifacts of an experiment's folder to what its report shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from outtakes.arms import run_folder
from outtakes.data.demo import DemoSet, Outcome
from outtakes.data.lerobot import read_dataset, read_metadata
from outtakes.data.reading import Reading
from outtakes.errors import ArtifactError
from outtakes.evaluation.comparison import Comparison
from outtakes.evaluation.exhibits import RetrievalPlane, load_films
from outtakes.evaluation.statistics import spearman
from outtakes.files import read_json
from outtakes.report.content import (
    SUCCESS_RATE,
    ArmRow,
    BiasMap,
    Correlation,
    FailureCard,
    MapPoint,
    Query,
    ReportContent,
    RetrievalMap,
    RolloutVideo,
)
from outtakes.report.media import write_thumbnails, write_video
from outtakes.selection.score import principal_components
from outtakes.selection.scores import FailureScore, Scores
from outtakes.selection.select import Selection
from outtakes.training.checkpoint import FILE, Checkpoint
from outtakes.triage import ActionErrors

_THUMBNAILS = 6
_MAP_THUMBNAILS = 8

_PROXY = "action error on held-out successes"


@dataclass(frozen=True)
class Folder:
    """One experiment's folder, its artifacts read when first asked for."""

    out: Path

    @cached_property
    def setup(self) -> dict[str, Any]:
        """`setup.json`: labels, recipe, machine."""
        return read_json(self.out / "setup.json", "setup", 1)

    @cached_property
    def demos(self) -> DemoSet:
        """The dataset, with its images."""
        root = Path(self.setup["dataset"])
        root = root if root.is_absolute() else self.out / root
        size = self.setup["recipe"]["image_size"]
        return read_dataset(root, Reading.from_json(self.setup.get("reading", {}), size))

    @cached_property
    def metadata(self) -> dict[int, dict[str, Any]]:
        """Facts about the episodes that training never saw."""
        root = Path(self.setup["dataset"])
        return read_metadata(root if root.is_absolute() else self.out / root)

    @cached_property
    def scores(self) -> Scores:
        """`scores.json`."""
        return Scores.load(self.out / "scores.json")

    @cached_property
    def selection(self) -> Selection:
        """`selection.json`."""
        return Selection.load(self.out / "selection.json")

    def label(self, arm: str) -> str:
        """An arm's name for people."""
        return self.setup["labels"].get(arm, arm)


def gather(out: Path) -> ReportContent:
    """Read an experiment's folder and render its media into `out/media`.

    Raises:
        ArtifactError: when `out` holds no experiment, or an artifact is damaged.
    """
    folder = Folder(out)
    scores = folder.scores
    if folder.demos.content_hash != scores.content_hash:
        raise ArtifactError(
            "the dataset changed since it was ranked",
            where=folder.demos.name,
            remedy="restore it, or rank again",
        )
    return ReportContent(
        title=f"Outtakes: {folder.setup['title']}",
        **_measure(folder),
        cards=_cards(folder),
        kendall_tau=scores.kendall_tau,
        n_successes=scores.n_successes,
        bias_maps=_bias_maps(folder),
        retrieval=_retrieval(folder),
        rollout_videos=_rollout_videos(folder),
        correlation=_correlation(folder),
        next_commands=folder.setup["next_commands"],
        lerobot_argument=folder.selection.as_lerobot_argument(),
        provenance=_provenance(folder),
    )


# --- the measured table ---------------------------------------------------------------------------


def _measure(folder: Folder) -> dict[str, Any]:
    if (folder.out / "comparison.json").exists():
        return _success_rates(folder, Comparison.load(folder.out / "comparison.json"))
    return _action_errors(folder, ActionErrors.load(folder.out / "action_error.json"))


def _success_rates(folder: Folder, comparison: Comparison) -> dict[str, Any]:
    verdict = comparison.verdict
    for arm in (comparison.treatment, comparison.baseline):
        verdict = verdict.replace(f"{arm} ", f"{folder.label(arm)} ", 1)
    n_states = comparison.rates[comparison.baseline].n_rollouts
    n_states //= comparison.rates[comparison.baseline].n_seeds
    return {
        "verdict": verdict,
        "conclusive": comparison.conclusive,
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
        paper=folder.setup["paper"].get(arm, ""),
    )


def _action_errors(folder: Folder, errors: ActionErrors) -> dict[str, Any]:
    chosen = errors.differences["selected"]
    settled = chosen.excludes_zero and chosen.n_seeds > 1
    direction = "lowered" if chosen.difference < 0 else "raised"
    opening = "" if settled else "Inconclusive: "
    base = float(errors.errors["successes"].mean())
    return {
        "verdict": f"{opening}adding the selected failures {direction} the action error on "
        f"held-out successes by {abs(chosen.difference) / base:.1%} (95 % interval "
        f"{chosen.low / base:+.1%} to {chosen.high / base:+.1%}, p = {chosen.p:.3f}, "
        f"{chosen.n_seeds} seeds × {chosen.n_rollouts // chosen.n_seeds} held-out successes). "
        "This is a proxy; only rollouts on your robot settle it.",
        "conclusive": settled,
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


# --- failures -------------------------------------------------------------------------------------


def _cards(folder: Folder) -> list[FailureCard]:
    demos, camera = folder.demos, _camera(folder.demos)
    row = {int(e): i for i, e in enumerate(demos.episode_indices)}
    kept = set(folder.selection.kept)
    reasons = {choice.episode: choice.reason for choice in folder.selection.choices}
    cards = []
    for place, failure in enumerate(folder.scores.ranked(), start=1):
        facts = folder.metadata.get(failure.episode, {})
        pictures = {}
        if camera:
            frames = demos[row[failure.episode]].images[camera]
            nearest = demos[row[failure.nearest_success]].images[camera]
            pictures = {
                "video": _video(folder, failure.episode, frames),
                "nearest_video": _video(folder, failure.nearest_success, nearest),
                "thumbnails": write_thumbnails(
                    folder.out / "media" / "episodes",
                    f"episode-{failure.episode}",
                    frames,
                    _THUMBNAILS,
                ),
            }
        cards.append(_card(demos.fps, place, failure, kept, reasons, facts, pictures))
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
        k=failure.mean,
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
    """K̄ against the size of the operator's mistake, as a share of the kind's largest."""
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


def _bias_maps(folder: Folder) -> list[BiasMap]:
    k = {failure.episode: failure.mean for failure in folder.scores.failures}
    points = [MapPoint(e, s, x, y, k.get(e)) for e, s, x, y in folder.scores.bias_map]
    maps = [BiasMap("Trained on all failures", points)]
    seed, retrained = folder.setup["recipe"]["seeds"][0], folder.setup["retrained"]
    run = run_folder(folder.out, retrained, seed)
    if retrained and (run / FILE).exists():
        maps.append(BiasMap("Retrained on the selected failures", _bias_points(run, k)))
    return maps


def _bias_points(run: Path, k: Mapping[int, float]) -> list[MapPoint]:
    checkpoint = Checkpoint.load(run)
    table = checkpoint.tensors["policy.bias.table"].flatten(1).numpy()
    rows = zip(checkpoint.episodes, checkpoint.successes, principal_components(table), strict=True)
    return [MapPoint(e, s, float(x), float(y), k.get(e)) for e, s, (x, y) in rows]


def _retrieval(folder: Folder) -> RetrievalMap | None:
    plane = RetrievalPlane.load(folder.out / "retrieval.json")
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
    films = load_films(folder.out / "films.json")
    return [
        RolloutVideo(f.initial_state, folder.label(f.arm), f.success, folder.out / f.video)
        for f in sorted(films, key=lambda film: film.initial_state)
    ]


# --- provenance -----------------------------------------------------------------------------------


def _provenance(folder: Folder) -> dict[str, str]:
    setup = folder.setup
    recipe, demos = setup["recipe"], folder.demos
    seconds = setup["seconds"]
    successes = len(demos.episodes(Outcome.SUCCESS))
    return {
        "Dataset": f"{demos.name}: {successes} successes, {len(demos) - successes} failures, "
        f"{demos.lengths.sum()} frames at {demos.fps:g} Hz",
        **({"Left out as corrupt": _left_out(demos)} if demos.provenance.skipped else {}),
        "Dataset hash": demos.content_hash,
        "Recipe": f"{recipe['name']}: {recipe['train']['steps']} steps, batch "
        f"{recipe['train']['batch_size']}, chunk {recipe['act']['chunk']}, width "
        f"{recipe['act']['width']}, {recipe['act']['decoder_layers']} decoder layers",
        "KL term": f"weight {recipe['loss']['kl_weight']:g}, bounded at "
        f"{recipe['loss']['kl_cap']:g} nats",
        "Training seeds": ", ".join(map(str, recipe["seeds"])),
        "Code": f"Outtakes {setup['release']}, commit {setup['commit']}",
        "Machine": setup["machine"],
        "Time taken": ", ".join(f"{stage} {s / 60:.1f} min" for stage, s in seconds.items()),
        "Finished": setup["finished"],
    }


def _left_out(demos: DemoSet) -> str:
    return "; ".join(f"episode {e}: {why}" for e, why in demos.provenance.skipped.items())

"""The pipeline from Python: what the verbs of the command line do, step by step or in one go.

    DemoSet → Checkpoint → Scores → Selection → RolloutLog → Comparison → report.html

Nothing is shown unless a `progress` is given, which is called with (done, total, what).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from outtakes.data.demo import DemoSet
from outtakes.data.lerobot.hub import local_folder
from outtakes.data.lerobot.write import check_free
from outtakes.data.reading import Reading
from outtakes.errors import ConfigError
from outtakes.evaluation import comparison
from outtakes.evaluation import evaluate as evaluation
from outtakes.evaluation.comparison import Comparison
from outtakes.evaluation.recommendation import Recommendation
from outtakes.evaluation.rollouts import RolloutLog
from outtakes.evaluation.sequential import Evidence
from outtakes.evaluation.statistics import SuccessRate, success_rate
from outtakes.evaluation.times import TimeToSuccess, times_to_success
from outtakes.experiments import datasets, filming, pipeline, recipes, reporting, study
from outtakes.experiments import few_successes as demonstration
from outtakes.experiments import triage as triaging
from outtakes.experiments import work as working
from outtakes.experiments.datasets import Prepared, ShortEpisodes
from outtakes.experiments.folder import COMPARISON, SCORES, SELECTION, SIGNALS, UNTIL_CLEAR
from outtakes.experiments.lab import Lab, named_device
from outtakes.experiments.pipeline import check_policy
from outtakes.experiments.recipes import Recipe, on_task
from outtakes.experiments.runs import ROLLOUTS
from outtakes.experiments.setting_up import write_setup
from outtakes.experiments.study import StudyPlan
from outtakes.experiments.ways import RANKED, SELECTED
from outtakes.experiments.work import Work
from outtakes.files import Location
from outtakes.monitoring.signal import signal
from outtakes.monitoring.signal_log import SignalLog
from outtakes.policy.checkpoint import Checkpoint
from outtakes.progress import Progress
from outtakes.ranking.attention.scoring import AttentionRanker
from outtakes.ranking.combination import Part, parse, rank_by
from outtakes.ranking.measure import Needs
from outtakes.ranking.ranker import Ranker
from outtakes.ranking.scores import Scores
from outtakes.report.html import PAGE
from outtakes.selection import select as selecting
from outtakes.selection.made_for import check_made_for, load_scores, load_selection
from outtakes.selection.select import Selection

__all__ = [
    "Evaluated",
    "Lab",
    "Prepared",
    "Recipe",
    "StudyPlan",
    "Triaged",
    "check_policy",
    "chosen_rankers",
    "collect",
    "compare",
    "demo",
    "evaluate",
    "evaluate_runs",
    "evaluate_until_clear",
    "laboratory",
    "load",
    "load_scores",
    "load_selection",
    "needs_runs",
    "prepare",
    "rank",
    "recipe",
    "report",
    "run_study",
    "select",
    "train",
    "train_prepared",
    "triage",
    "triage_prepared",
    "work_of_demo",
    "work_of_triage",
    "write_report",
]

recipe = recipes.recipe
"""A recipe by its name."""
Device = Literal["auto", "cpu", "cuda", "mps"]
"""Where to compute; "auto" takes CUDA where there is one; "mps" is Apple's GPU."""
Keep = Literal["best", "worst", "low", "mid", "high", "random", "below"]


# --- step by step ---------------------------------------------------------------------------------


def collect(
    out: Location, *, recipe: Recipe | str = "quick", progress: Progress | None = None
) -> Path:
    """Collect demonstrations of a simulated task by a scripted operator.

    Args:
        out: folder of the new LeRobot dataset.
        recipe: settings, or their name; `Recipe.collect` says which task, and how many.
        progress: told of every demonstration that is kept.

    Returns:
        The dataset's folder.

    Raises:
        DatasetError: when something is at `out`.
        MachineError: when the simulator is missing, or `out` cannot be written.
    """
    check_free(Path(out))
    datasets.record(_settings(recipe).collect, Path(out), progress=progress)
    return Path(out)


def load(
    dataset: Location,
    *,
    recipe: Recipe | str = "quick",
    reading: Reading | None = None,
    progress: Progress | None = None,
) -> DemoSet:
    """Read a LeRobot dataset v3.0 or v2.1, with its outcomes.

    Args:
        dataset: its folder, or `owner/name` on the hub. It is only read.
        recipe: settings, or their name; the image size is theirs.
        reading: cameras, where outcomes are, and what to do about corrupt episodes.
        progress: told how many frames are decoded.

    Raises:
        DatasetError: when it is missing, damaged or unlabelled.
    """
    lab = Lab(_settings(recipe), Path(), progress=progress, reading=reading or Reading())
    return datasets.read_demos(lab, str(dataset))


def train(
    demos: DemoSet,
    out: Location,
    *,
    policy: str = "act-pb",
    selection: Selection | None = None,
    recipe: Recipe | str = "quick",
    device: Device = "auto",
    progress: Progress | None = None,
) -> list[Checkpoint]:
    """Train a policy with every seed of a recipe, or load what is trained already.

    Args:
        demos: the dataset.
        out: folder for `runs/<policy>/seed-<n>/`; an interrupted training goes on.
        policy: "act", ACT; "act-pb", ACT with parametric bias and the KL term; "flow", "afil",
            "cfgrl" (docs/flow.md); or the kind of a family that another package brings.
        selection: what to train on; everything when None.
        recipe: settings, or their name; fitted to the dataset as `outtakes train` does.
        device: where to compute.
        progress: told the step and the loss, as often as the recipe logs.

    Returns:
        One checkpoint a seed.

    Raises:
        ArtifactError: when the selection is of another dataset.
        CheckpointError: when `out` holds runs of other data or settings.
        DatasetError: when there is no success, or an episode is too short.
        UnknownName: when there is no such policy.
    """
    lab = Lab(_settings(recipe), Path(out), named_device(device), progress=progress)
    lab = datasets.fit(lab, demos)
    if selection is not None:
        check_made_for(demos, selection)
    runs = pipeline.train_policy(lab, demos, policy, selection=selection)
    return [Checkpoint.load(run) for run in runs]


def rank(
    runs: Sequence[Checkpoint],
    demos: DemoSet,
    *,
    by: str | Ranker = "attention",
    pairs: int | None = None,
    device: Device = "auto",
    progress: Progress | None = None,
) -> Scores:
    """Rank the failures by trained runs, or by the dataset alone.

    Args:
        runs: trained as the ranker's measure needs, one a seed: by "attention" with "act-pb" on
            successes and failures, by "action-error" any policy on the successes alone; none
            where the dataset is all that is needed, as by "coverage". Several rankers each take
            the runs of their kind.
        demos: the dataset they were trained on.
        by: a ranker, its name, or several as "NAME[=WEIGHT],...", to rank by the weighted mean of
            their ranks.
        pairs: (time step, success) pairs to sample for each failure, by "attention"; every pair
            when None.
        device: where to compute.
        progress: told of every run.

    Raises:
        CheckpointError: when a run is of another kind or of other data.
        ConfigError: when a run is needed and there is none, or pairs are given to a ranker that
            has none.
        DatasetError: when there is no success or no failure.
        UnknownName: when there is no such ranker.
    """
    parts = chosen_rankers(by, pairs)
    return rank_by(parts, runs, demos, device=named_device(device), progress=progress)


def chosen_rankers(by: str | Ranker, pairs: int | None = None) -> list[Part]:
    """The rankers of these names with their weights; those by attention sample so many pairs.

    Raises:
        ConfigError: when pairs are given and no ranker has any, or a weight is no number.
        UnknownName: when there is no such ranker.
    """
    parts = parse(by) if isinstance(by, str) else [Part(by)]
    if pairs is None:
        return parts
    if not any(isinstance(part.ranker, AttentionRanker) for part in parts):
        names = " and ".join(part.ranker.measure.key for part in parts)
        raise ConfigError(f"pairs to rank by {names}", remedy="rank by attention")
    return [_sampling(part, pairs) for part in parts]


def _sampling(part: Part, pairs: int) -> Part:
    if not isinstance(part.ranker, AttentionRanker):
        return part
    return replace(part, ranker=type(part.ranker)(pairs))


def needs_runs(parts: Sequence[Part]) -> bool:
    """Whether something must be trained before failures can be ranked by these."""
    return any(part.ranker.measure.needs is not Needs.DATASET for part in parts)


def select(
    scores: Scores,
    *,
    keep: Keep = "best",
    count: int | None = None,
    threshold: float | None = None,
    fold: int = 0,
) -> Selection:
    """Keep every success and some failures.

    Args:
        scores: the ranking.
        keep: "best", those expected to teach most, or "worst"; "low", "mid" or "high", those of
            the lowest, middle or highest scores; "random", one of the disjoint random folds; or
            "below", all whose scores are no higher than `threshold`.
        count: failures to keep; 10, or all when there are fewer, when None; ignored with "below".
        threshold: in the unit of the scores' measure; only with "below".
        fold: which random fold.

    Raises:
        ConfigError: when there are not enough failures, or no threshold is given.
    """
    return selecting.select(
        scores, scores.successes, keep=keep, count=count, threshold=threshold, fold=fold
    )


def evaluate(
    arms: Mapping[str, Sequence[Checkpoint]],
    *,
    recipe: Recipe | str = "quick",
    device: Device = "auto",
    progress: Progress | None = None,
) -> RolloutLog:
    """Roll trained runs out in simulation, all from the same initial states.

    Args:
        arms: name of each arm -> its runs, one a seed.
        recipe: settings, or their name: task, number of rollouts, horizon, controller.
        device: where to compute.
        progress: told of every run.

    Raises:
        CheckpointError: when a run does not fit the task.
        ConfigError: when an arm has no run.
        MachineError: when the simulator is missing.
    """
    for runs in arms.values():
        _check_runs(runs)
    named = [
        (arm, run, Path(arm) / f"seed-{run.seed}") for arm, runs in arms.items() for run in runs
    ]
    return pipeline.roll_out_runs(
        named,
        _settings(recipe).evaluation,
        named_device(device),
        progress=progress,
        total=len(named),
    )


def compare(rollouts: RolloutLog, *, baseline: str, treatment: str) -> Comparison:
    """Every arm's success rate, and its difference from the baseline's, with intervals.

    Args:
        rollouts: of two arms at least. An arm that was steered is called "<arm> (<steering>)".
        baseline: the arm that the others are compared with.
        treatment: the arm that the verdict is about, chosen before anything was rolled out.

    Raises:
        UnknownName: when there is no such arm.
    """
    return comparison.compare(rollouts.outcomes(), baseline=baseline, treatment=treatment)


def write_report(
    out: Location,
    demos: DemoSet,
    *,
    scores: Scores,
    selection: Selection,
    rollouts: RolloutLog | None = None,
    compared: Comparison | None = None,
    title: str = "which failures to keep",
    recipe: Recipe | str = "quick",
    reading: Reading | None = None,
    labels: Mapping[str, str] | None = None,
) -> Path:
    """Write every artifact (`scores.json`, ...) and `report.html` with its media into one folder.

    Args:
        out: folder for it all.
        demos: the dataset, which must still be where it was loaded from.
        scores: its ranking.
        selection: what was kept.
        rollouts: what was rolled out, if anything was.
        compared: the rollouts compared.
        title: what was done, for people.
        recipe: that the dataset was loaded and trained on with.
        reading: that the dataset was loaded with.
        labels: name in comparisons -> name for people.

    Returns:
        The page.

    Raises:
        ArtifactError: when the ranking is of other data.
        MachineError: when `out` cannot be written.
    """
    check_made_for(demos, scores)
    settings = replace(_settings(recipe), seeds=tuple(scores.seeds))
    lab = datasets.fit(Lab(settings, Path(out), reading=reading or Reading()), demos)
    scores.save(lab.out / SCORES)
    selection.save(lab.out / SELECTION)
    if rollouts is not None:
        rollouts.save(lab.out / ROLLOUTS)
    if compared is not None:
        compared.save(lab.out / COMPARISON)
    dataset = local_folder(demos.name).absolute()
    write_setup(lab, demos, title=title, dataset=dataset, labels=labels or {})
    reporting.write_advice(lab, demos, dataset, selection)
    return lab.out / PAGE


# --- in one go ------------------------------------------------------------------------------------


def prepare(
    dataset: Location,
    out: Location,
    *,
    recipe: Recipe | str = "quick",
    reading: Reading | None = None,
    chunk: int | None = None,
    short_episodes: ShortEpisodes = "shorten",
    device: Device = "auto",
    progress: Progress | None = None,
) -> Prepared:
    """Read a dataset and fit a recipe to it; what was chosen is in `overview`.

    Args:
        dataset: its folder, or `owner/name` on the hub. It is only read.
        out: folder of the experiment on it.
        recipe: settings, or their name.
        reading: cameras, where outcomes are, and what to do about corrupt episodes.
        chunk: action steps predicted at once; chosen by itself when None.
        short_episodes: for episodes shorter than a chunk: "shorten" it, or "pad" them.
        device: where to compute.
        progress: told how many frames are decoded, and of all that follows.

    Raises:
        DatasetError: when it is missing, damaged or unlabelled, or an episode is too short.
    """
    lab = Lab(
        _settings(recipe),
        Path(out),
        named_device(device),
        progress=progress,
        reading=reading or Reading(),
    )
    folder = local_folder(str(dataset))
    demos = datasets.read_demos(lab, folder)
    lab = datasets.fit(lab, demos, chunk=chunk, short_episodes=short_episodes)
    return Prepared(lab, demos, folder)


def train_prepared(
    prepared: Prepared, policy: str, *, selection: Selection | None = None, wandb: bool = False
) -> list[Path]:
    """Train a policy with every seed of the recipe; returns the run folders. See `train`.

    Args:
        prepared: the dataset, and where to train.
        policy: its name.
        selection: what to train on; everything when None.
        wandb: also log to Weights & Biases.
    """
    lab, demos = prepared.lab, prepared.demos
    return pipeline.train_policy(lab, demos, policy, selection=selection, wandb=wandb)


@dataclass(frozen=True)
class Triaged:
    """What a triage found."""

    selection: Selection
    recommendation: Recommendation
    """What to do with the failures, and the commands that do it."""
    report: Path
    """The page."""


def triage(
    dataset: Location,
    out: Location,
    *,
    by: str | Ranker = "attention",
    keep: Keep = "best",
    count: int | None = None,
    threshold: float | None = None,
    recipe: Recipe | str = "quick",
    reading: Reading | None = None,
    device: Device = "auto",
    progress: Progress | None = None,
) -> Triaged:
    """Rank and select the failures of a dataset, and say what to do with them; needs no simulator.

    Args:
        dataset: its folder, or `owner/name` on the hub. It is only read.
        out: folder for everything; a second call goes on where the first stopped.
        by: a ranker, or its name.
        keep: which failures, see `select`.
        count: how many; 10, or all when there are fewer, when None.
        threshold: with "below", see `select`.
        recipe: settings, or their name; fitted to the dataset.
        reading: cameras, where outcomes are, and what to do about corrupt episodes.
        device: where to compute.
        progress: told how far everything is.

    Raises:
        ConfigError: when no failure is to be kept.
        DatasetError: when it is missing, damaged or unlabelled, or has too few successes to hold
            some out.
        UnknownName: when there is no such ranker.
    """
    prepared = prepare(
        dataset, out, recipe=recipe, reading=reading, device=device, progress=progress
    )
    return triage_prepared(prepared, by=by, keep=keep, count=count, threshold=threshold)


def triage_prepared(
    prepared: Prepared,
    *,
    by: str | Ranker = "attention",
    keep: Keep = "best",
    count: int | None = None,
    threshold: float | None = None,
) -> Triaged:
    """The same of a dataset that was prepared. See `triage`.

    Args:
        prepared: the dataset, as `prepare` gives it.
        by: a ranker, its name, or several, see `rank`.
        keep: which failures, see `select`.
        count: how many; 10, or all when there are fewer, when None.
        threshold: with "below", see `select`.

    Raises:
        ConfigError: when no failure is to be kept.
        DatasetError: when an outcome is missing, or there are too few successes to hold some out.
        UnknownName: when there is no such ranker.
    """
    lab, demos = prepared.lab, prepared.demos
    selection = triaging.triage(
        lab, demos, chosen_rankers(by), keep=keep, count=count, threshold=threshold
    )
    recommended = reporting.report_triage(lab, demos, prepared.folder, demos.name)
    return Triaged(selection, recommended, lab.out / PAGE)


def demo(lab: Lab) -> Triaged:
    """The main job in simulation, from nothing to the report."""
    demonstration.demo(lab)
    recommended, page = reporting.report_simulated(
        lab, shown=demonstration.SHOWN, retrieving=RANKED
    )
    return Triaged(Selection.load(lab.out / SELECTION), recommended, page)


def work_of_triage(prepared: Prepared, by: str | Ranker = "attention") -> Work:
    """What `triage_prepared` will train, and about how long it takes here."""
    return working.work_of_triage(prepared.lab, prepared.demos, chosen_rankers(by))


def work_of_demo(lab: Lab) -> str:
    """What `demo` will do, for people."""
    return working.work_of_demo(lab.recipe)


def run_study(lab: Lab, plan: StudyPlan) -> tuple[dict[str, Comparison], Path]:
    """The paper's experiments with controls: comparison by experiment, and the page."""
    comparisons = study.paper(lab, plan)
    _, page = reporting.report_simulated(lab, shown=study.SHOWN, retrieving=SELECTED)
    return comparisons, page


def laboratory(
    out: Location,
    *,
    recipe: Recipe | str = "quick",
    task: str | None = None,
    device: Device = "auto",
    progress: Progress | None = None,
) -> Lab:
    """An experiment in a folder, on a simulated task; the recipe's own when None.

    Raises:
        MachineError: when a GPU is asked for and there is none.
    """
    settings = _settings(recipe)
    settings = settings if task is None else on_task(settings, task)
    return Lab(settings, Path(out), named_device(device), progress=progress)


def report(out: Location) -> Path:
    """Write the report of an experiment's folder; returns the page.

    Raises:
        ArtifactError: when `out` holds no experiment, or an artifact is damaged.
    """
    return reporting.report_folder(Path(out))


@dataclass(frozen=True)
class Evaluated:
    """What the rollouts of some run folders came to."""

    rates: Mapping[str, SuccessRate]
    """Success rate of every arm."""
    comparison: Comparison | None
    """The last arm against the first; None with a single one."""
    videos: Sequence[Path]
    times: Mapping[str, TimeToSuccess]
    """Time to success of every arm, and its difference from the first's."""


def evaluate_until_clear(
    lab: Lab, runs: Sequence[Location], *, margin: float = 0.1
) -> tuple[Evidence, Mapping[str, TimeToSuccess]]:
    """Roll run folders of two arms out until it is clear which succeeds more often.

    The arms start from the same initial states, some at a time; looking at every turn is allowed
    for. Leaves `rollouts.parquet` and `until_clear.json` in the experiment's folder. What is found
    holds for these trained policies, not for other training seeds.

    Args:
        lab: the experiment; its recipe's rollouts are the most there will be of each run.
        runs: folders `.../<arm>/seed-<n>`; the first arm is the baseline.
        margin: a difference that is surely smaller than this counts as none, in [0, 1].

    Returns:
        The difference of the second arm, and the time to success of both.

    Raises:
        CheckpointError: when a run does not fit the environment.
        ConfigError: when there are not two arms.
    """
    folders = [Path(run) for run in runs]
    loaded = [(run.absolute().parent.name, Checkpoint.load(run)) for run in folders]
    for (_, checkpoint), folder in zip(loaded, folders, strict=True):
        pipeline.check_fits(checkpoint, folder, lab.recipe.evaluation.task)
    log, found = evaluation.evaluate_until_clear(
        loaded,
        lab.recipe.evaluation,
        margin=margin,
        device=lab.device,
        progress=lab.progress,
    )
    log.save(lab.out / ROLLOUTS)
    baseline, treatment = log.outcomes()
    facts = {"baseline": baseline, "treatment": treatment, "margin": margin}
    found.save(lab.out / UNTIL_CLEAR, {**facts, "clear": found.clear(margin)})
    return found, times_to_success(log, baseline)


def evaluate_runs(
    lab: Lab, runs: Sequence[Location], *, videos: int = 0, signals: Sequence[str] = ()
) -> Evaluated:
    """Roll run folders `.../<arm>/seed-<n>` out and leave the artifacts in the experiment's folder.

    Args:
        lab: the experiment: task, rollouts, controller, and where to write.
        runs: the folders; the first arm is the baseline.
        videos: initial states to film every run from.
        signals: names of signals to record at every query of the policies, in `signals.parquet`.

    Raises:
        CheckpointError: when a run does not fit the environment.
        ConfigError: when there is no run.
        UnknownName: when there is no such signal.
    """
    recorded = SignalLog([signal(name) for name in signals]) if signals else None
    folders = [Path(run) for run in runs]
    if not folders:
        raise ConfigError("no run folder", remedy="give at least one run folder")
    named = ((run.absolute().parent.name, Checkpoint.load(run), run) for run in folders)
    log = pipeline.roll_out_runs(
        named,
        lab.recipe.evaluation,
        lab.device,
        progress=lab.progress,
        total=len(folders),
        signals=recorded,
    )
    log.save(lab.out / ROLLOUTS)
    if recorded is not None:
        recorded.save(lab.out / SIGNALS)
    outcomes = log.outcomes()
    rates = {arm: success_rate(np.stack(list(by.values()))) for arm, by in outcomes.items()}
    compared = None
    if len(outcomes) > 1:
        baseline, *others = outcomes
        compared = comparison.compare(outcomes, baseline=baseline, treatment=others[-1])
        compared.save(lab.out / COMPARISON)
    filmed = filming.film_runs(lab, folders, videos) if videos else []
    return Evaluated(rates, compared, filmed, times_to_success(log, next(iter(outcomes))))


def _settings(recipe: Recipe | str) -> Recipe:
    return recipes.recipe(recipe) if isinstance(recipe, str) else recipe


def _check_runs(runs: Sequence[Checkpoint]) -> None:
    if not runs:
        raise ConfigError("no run", remedy="give at least one checkpoint of each arm")

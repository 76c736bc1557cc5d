"""One step each, on values in memory.

DemoSet → Checkpoint → Scores → Selection → RolloutLog → Comparison → report.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from outtakes.data.demo import DemoSet
from outtakes.data.lerobot.hub import local_folder
from outtakes.data.lerobot.write import check_free
from outtakes.data.reading import Reading
from outtakes.errors import ConfigError
from outtakes.evaluation import comparison
from outtakes.evaluation.comparison import Comparison
from outtakes.evaluation.rollouts import RolloutLog
from outtakes.experiments import datasets, pipeline, recipes, reporting
from outtakes.experiments.folder import COMPARISON, SCORES, SELECTION
from outtakes.experiments.lab import Lab, named_device
from outtakes.experiments.recipes import Recipe
from outtakes.experiments.run_folders import check_asked, roll_out_runs
from outtakes.experiments.runs import ROLLOUTS
from outtakes.experiments.setting_up import write_setup
from outtakes.files import Location
from outtakes.policy.checkpoint import Checkpoint
from outtakes.progress import Progress
from outtakes.ranking.combination import chosen_rankers, rank_by
from outtakes.ranking.ranker import Ranker
from outtakes.ranking.scores import Scores
from outtakes.report.html import PAGE
from outtakes.selection import select as selecting
from outtakes.selection.made_for import check_made_for
from outtakes.selection.select import Selection

Device = Literal["auto", "cpu", "cuda", "mps"]
"""Where to compute; "auto" takes CUDA where there is one; "mps" is Apple's GPU."""
Keep = Literal["best", "worst", "low", "mid", "high", "random", "below"]


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
    datasets.record(recipes.recipe(recipe).collect, Path(out), progress=progress)
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
    lab = Lab(recipes.recipe(recipe), Path(), progress=progress, reading=reading or Reading())
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
    lab = Lab(recipes.recipe(recipe), Path(out), named_device(device), progress=progress)
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
    steering: str = "",
    device: Device = "auto",
    progress: Progress | None = None,
) -> RolloutLog:
    """Roll trained runs out in simulation, all from the same initial states.

    Args:
        arms: name of each arm -> its runs, one a seed.
        recipe: settings, or their name: task, number of rollouts, horizon, controller.
        steering: what is asked of the policies that can be steered; the recipe's preference, or
            their default, when "".
        device: where to compute.
        progress: told of every run.

    Raises:
        CheckpointError: when a run does not fit the task.
        ConfigError: when an arm has no run, or none can be steered.
        MachineError: when the simulator is missing.
        UnknownName: when a run cannot be steered so.
    """
    for runs in arms.values():
        _check_runs(runs)
    evaluation = recipes.recipe(recipe).evaluation
    if steering:
        check_asked([run.config for runs in arms.values() for run in runs], steering)
        controller = replace(evaluation.controller, steering=steering)
        evaluation = replace(evaluation, controller=controller)
    named = [
        (arm, run, Path(arm) / f"seed-{run.seed}") for arm, runs in arms.items() for run in runs
    ]
    return roll_out_runs(
        named,
        evaluation,
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
    settings = replace(recipes.recipe(recipe), seeds=tuple(scores.seeds))
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


def _check_runs(runs: Sequence[Checkpoint]) -> None:
    if not runs:
        raise ConfigError("no run", remedy="give at least one checkpoint of each arm")

"""The pipeline from Python: the same stages as the verbs of the command line, step by step.

    DemoSet → Checkpoint → Scores → Selection → RolloutLog → Comparison → report.html

Nothing is shown unless a `progress` is given, which is called with (done, total, what).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from outtakes.data.demo import DemoSet
from outtakes.data.hub import local_folder
from outtakes.data.lerobot import check_free
from outtakes.data.reading import Reading
from outtakes.errors import ConfigError
from outtakes.evaluation import comparison
from outtakes.evaluation.comparison import Comparison
from outtakes.evaluation.rollouts import RolloutLog
from outtakes.files import write_json
from outtakes.ledger import write_setup
from outtakes.recipes import Recipe
from outtakes.recipes import recipe as named_recipe
from outtakes.report import html
from outtakes.selection import select as selecting
from outtakes.selection.scores import Scores
from outtakes.selection.select import Selection
from outtakes.stages import (
    Lab,
    Progress,
    check_made_for,
    check_success,
    fitted,
    named_device,
    read_demos,
    record,
    roll_out_runs,
    score,
    train_seeds,
)
from outtakes.summary import gather
from outtakes.training.checkpoint import Checkpoint

Device = Literal["auto", "cpu", "cuda"]
"""Where to compute; "auto" takes a GPU where there is one."""


def collect(
    out: Path | str, *, recipe: Recipe | str = "quick", progress: Progress | None = None
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
    record(_settings(recipe).collect, Path(out), progress=progress)
    return Path(out)


def load(
    dataset: Path | str,
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
    return read_demos(lab, Path(dataset))


def train(
    demos: DemoSet,
    out: Path | str,
    *,
    policy: Literal["act", "act-pb"] = "act-pb",
    selection: Selection | None = None,
    recipe: Recipe | str = "quick",
    device: Device = "auto",
    progress: Progress | None = None,
) -> list[Checkpoint]:
    """Train a policy with every seed of a recipe, or load what is trained already.

    Args:
        demos: the dataset.
        out: folder for `runs/<policy>/seed-<n>/`; an interrupted training goes on.
        policy: ACT, or ACT with parametric bias and the KL term.
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
    """
    lab = Lab(_settings(recipe), Path(out), named_device(device), progress=progress)
    lab = fitted(lab, demos, chunk=None, short_episodes="shorten")
    episodes = [int(episode) for episode in demos.episode_indices]
    if policy == "act-pb":
        check_success(demos)
    if selection is not None:
        check_made_for(demos, selection)
        episodes = selection.kept
    return [Checkpoint.load(run) for run in train_seeds(lab, demos, policy, episodes)]


def rank(
    runs: Sequence[Checkpoint],
    demos: DemoSet,
    *,
    pairs: int | None = None,
    device: Device = "auto",
    progress: Progress | None = None,
) -> Scores:
    """Rank the failures by how far the policy's attention on them is from that on successes.

    Args:
        runs: trained with "act-pb" on successes and failures, one a seed.
        demos: what they were trained on.
        pairs: (time step, success) pairs to sample for each failure; every pair when None.
        device: where to compute.
        progress: told of every run.

    Raises:
        CheckpointError: when a run has no parametric bias or is of other data.
        ConfigError: when there is no run.
        DatasetError: when there is no success or no failure.
    """
    _check_runs(runs)
    return score(runs, demos, device=named_device(device), pairs=pairs, progress=progress)


def select(
    scores: Scores,
    *,
    keep: Literal["low", "mid", "high", "random", "below"] = "low",
    count: int = 10,
    threshold: float | None = None,
    fold: int = 0,
) -> Selection:
    """Keep every success and some failures.

    Args:
        scores: the ranking.
        keep: the nearest, the middle or the farthest failures; one of the disjoint random folds;
            or all whose K̄ is at most `threshold`.
        count: failures to keep; ignored with "below".
        threshold: nats; only with "below".
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
    settings, where = _settings(recipe), named_device(device)
    return roll_out_runs(named, settings, where, progress=progress, total=len(named))


def compare(rollouts: RolloutLog, *, baseline: str, treatment: str) -> Comparison:
    """Every arm's success rate, and its difference from the baseline's, with intervals.

    Args:
        rollouts: of two arms at least.
        baseline: the arm that the others are compared with.
        treatment: the arm that the verdict is about, chosen before anything was rolled out.

    Raises:
        UnknownName: when there is no such arm.
    """
    return comparison.compare(rollouts.outcomes(), baseline=baseline, treatment=treatment)


def write_report(
    out: Path | str,
    demos: DemoSet,
    *,
    scores: Scores,
    selection: Selection,
    rollouts: RolloutLog,
    compared: Comparison,
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
        rollouts: what was rolled out.
        compared: the rollouts compared.
        title: what was done, for people.
        recipe: that the dataset was loaded and trained on with.
        reading: that the dataset was loaded with.
        labels: arm -> name for people.

    Returns:
        The page.

    Raises:
        ArtifactError: when the ranking is of other data.
        MachineError: when `out` cannot be written.
    """
    check_made_for(demos, scores)
    lab = Lab(_settings(recipe), Path(out), reading=reading or Reading())
    scores.save(lab.out / "scores.json")
    selection.save(lab.out / "selection.json")
    rollouts.save(lab.out / "rollouts.parquet")
    compared.save(lab.out / "comparison.json")
    if not (lab.out / "durations.json").exists():
        write_json(lab.out / "durations.json", "durations", 1, {"seconds": {}})
    lab = replace(lab, recipe=replace(lab.recipe, seeds=tuple(scores.seeds)))
    dataset = local_folder(demos.name).absolute()
    write_setup(
        lab,
        title=title,
        dataset=dataset,
        labels=labels or {},
        paper={},
        retrained="",
        next_commands=[f"lerobot-train --dataset.root={dataset} {selection.as_lerobot_argument()}"],
    )
    return html.write_report(gather(lab.out), lab.out)


def _settings(recipe: Recipe | str) -> Recipe:
    return named_recipe(recipe) if isinstance(recipe, str) else recipe


def _check_runs(runs: Sequence[Checkpoint]) -> None:
    if not runs:
        raise ConfigError("no run", remedy="give at least one checkpoint of each arm")

"""Whole experiments, each in a folder; a second call goes on where the first stopped."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from outtakes.api.in_memory import Device, Keep
from outtakes.data.lerobot.hub import local_folder
from outtakes.data.reading import Reading
from outtakes.evaluation.comparison import Comparison
from outtakes.evaluation.recommendation import Recommendation
from outtakes.experiments import datasets, few_successes, pipeline, recipes, reporting, study
from outtakes.experiments import triage as triaging
from outtakes.experiments import work as working
from outtakes.experiments.datasets import Prepared, ShortEpisodes
from outtakes.experiments.folder import SELECTION, Folder
from outtakes.experiments.guided_rounds import AfilPlan, guided_rounds
from outtakes.experiments.lab import Lab, named_device
from outtakes.experiments.present import present
from outtakes.experiments.recipes import Recipe, on_task
from outtakes.experiments.study import StudyPlan
from outtakes.experiments.ways import RANKED, SELECTED
from outtakes.experiments.work import Work
from outtakes.files import Location
from outtakes.progress import Progress
from outtakes.ranking.combination import chosen_rankers
from outtakes.ranking.ranker import Ranker
from outtakes.report.html import PAGE, write_report
from outtakes.selection.select import Selection


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
        recipes.recipe(recipe),
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
    policy: str = "act-pb",
    by: str | Ranker | None = None,
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
        policy: name of the policy that failures are tried with, as `train` takes it.
        by: a ranker, or its name; `ranker_for` the policy when None.
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
        UnknownName: when there is no such ranker or policy.
    """
    prepared = prepare(
        dataset, out, recipe=recipe, reading=reading, device=device, progress=progress
    )
    return triage_prepared(
        prepared, policy=policy, by=by, keep=keep, count=count, threshold=threshold
    )


def triage_prepared(
    prepared: Prepared,
    *,
    policy: str = "act-pb",
    by: str | Ranker | None = None,
    keep: Keep = "best",
    count: int | None = None,
    threshold: float | None = None,
) -> Triaged:
    """The same of a dataset that was prepared. See `triage`.

    Args:
        prepared: the dataset, as `prepare` gives it.
        policy: name of the policy that failures are tried with, as `train` takes it.
        by: a ranker, its name, or several, see `rank`; `ranker_for` the policy when None.
        keep: which failures, see `select`.
        count: how many; 10, or all when there are fewer, when None.
        threshold: with "below", see `select`.

    Raises:
        ConfigError: when no failure is to be kept.
        DatasetError: when an outcome is missing, or there are too few successes to hold some out.
        UnknownName: when there is no such ranker or policy.
    """
    lab, demos = prepared.lab, prepared.demos
    pipeline.check_policy(policy)
    selection = triaging.triage(
        lab,
        demos,
        chosen_rankers(by or ranker_for(policy)),
        keep=keep,
        count=count,
        threshold=threshold,
        policy=policy,
    )
    recommended = reporting.report_triage(lab, demos, prepared.folder, demos.name)
    return Triaged(selection, recommended, lab.out / PAGE)


def demo(lab: Lab) -> Triaged:
    """The main job in simulation, from nothing to the report."""
    few_successes.demo(lab)
    recommended, page = reporting.report_simulated(
        lab, shown=few_successes.SHOWN, retrieving=RANKED
    )
    return Triaged(Selection.load(lab.out / SELECTION), recommended, page)


def ranker_for(policy: str) -> str:
    """Name of the ranker that a triage with such a policy ranks by where none is named: the
    paper's, where there is a parametric bias."""
    return "attention" if policy == "act-pb" else "action-error"


def work_of_triage(
    prepared: Prepared, by: str | Ranker | None = None, policy: str = "act-pb"
) -> Work:
    """What `triage_prepared` will train, and about how long it takes here."""
    rankers = chosen_rankers(by or ranker_for(policy))
    return working.work_of_triage(prepared.lab, prepared.demos, rankers, policy)


def work_of_demo(lab: Lab) -> str:
    """What `demo` will do, for people."""
    return working.work_of_demo(lab.recipe)


def run_study(lab: Lab, plan: StudyPlan) -> tuple[dict[str, Comparison], Path]:
    """The paper's experiments with controls: comparison by experiment, and the page."""
    comparisons = study.paper(lab, plan)
    _, page = reporting.report_simulated(lab, shown=study.SHOWN, retrieving=SELECTED)
    return comparisons, page


def afil(prepared: Prepared, plan: AfilPlan, *, task: str) -> list[Comparison]:
    """AFIL's whole loop on a dataset, in rounds, beside its controls. See `guided_rounds`.

    Args:
        prepared: the dataset, without pictures.
        plan: which failures, how many rounds, how strong a guidance.
        task: the simulated task that the policies are rolled out on.
    """
    lab = prepared.lab
    return guided_rounds(replace(lab, recipe=on_task(lab.recipe, task)), prepared.demos, plan)


def prepare_task(lab: Lab) -> Prepared:
    """The recipe's demonstrations of its own task, collected unless they are there."""
    collect = replace(lab.recipe.collect, cameras=())
    lab = replace(lab, recipe=replace(lab.recipe, collect=collect))
    root = datasets.collect_dataset(lab)
    demos = datasets.read_demos(lab, root)
    return Prepared(datasets.fit(lab, demos, short_episodes="pad"), demos, root)


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
    settings = recipes.recipe(recipe)
    settings = settings if task is None else on_task(settings, task)
    return Lab(settings, Path(out), named_device(device), progress=progress)


def report(out: Location) -> Path:
    """Write the report of an experiment's folder; returns the page.

    Raises:
        ArtifactError: when `out` holds no experiment, or an artifact is damaged.
    """
    return write_report(present(Folder(Path(out))), Path(out))

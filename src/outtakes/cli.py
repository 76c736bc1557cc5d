"""The command line. Heavy libraries are imported only by the verb that needs them."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro
from tyro.conf import Positional, arg, subcommand

from outtakes.console import Console
from outtakes.errors import ConfigError, MachineError, OuttakesError

if TYPE_CHECKING:
    from outtakes.recipes import Recipe
    from outtakes.stages import Lab

Keep = Literal["low", "mid", "high", "random", "below"]


@dataclass(kw_only=True)
class _Verb:
    """What every verb takes."""

    recipe: str = "quick"
    """Named settings: smoke, quick or paper."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to compute."""
    json: bool = False
    """Print one JSON object on standard output and nothing else there."""

    def run(self, console: Console) -> None:
        """Do it."""
        raise SystemExit(f"{type(self).__name__} does nothing")

    def chosen_device(self) -> str:
        """ "cpu" or "cuda".

        Raises:
            MachineError: when a GPU is asked for and there is none.
        """
        import torch

        if self.device == "cuda" and not torch.cuda.is_available():
            raise MachineError("no CUDA device here", remedy="use --device cpu")
        if self.device == "auto":
            return "cuda" if torch.cuda.is_available() else "cpu"
        return self.device

    def lab(self, recipe: Recipe, out: Path, console: Console) -> Lab:
        """An experiment in a folder that can be written to."""
        from outtakes.stages import Lab

        _check_writable(out)
        return Lab(recipe, out, self.chosen_device(), progress=console.progress)


@dataclass(kw_only=True)
class _Overrides(_Verb):
    """Settings of the recipe worth changing from the command line."""

    seeds: tuple[int, ...] | None = None
    """Training seeds; the recipe's when not given."""
    steps: int | None = None
    """Optimiser steps of each run."""
    chunk: int | None = None
    """Action steps predicted at once."""

    def settings(self) -> Recipe:
        """The recipe with these changes."""
        from outtakes.recipes import recipe

        chosen = recipe(self.recipe)
        if self.seeds is not None:
            chosen = replace(chosen, seeds=self.seeds)
        if self.steps is not None:
            train = chosen.train
            warmup = min(train.warmup, self.steps // 10)
            chosen = replace(chosen, train=replace(train, steps=self.steps, warmup=warmup))
        if self.chunk is not None:
            replan = min(chosen.controller.replan, self.chunk)
            chosen = replace(
                chosen,
                act=replace(chosen.act, chunk=self.chunk),
                controller=replace(chosen.controller, replan=replan),
            )
        return chosen


@dataclass
class Demo(_Overrides):
    """Collect, train, rank, select, retrain, evaluate and report, on the Lift task."""

    out: Path = Path("outtakes-demo")
    """Folder for everything; a second call goes on where the first stopped."""

    def run(self, console: Console) -> None:
        """Run the main job and say where the report is."""
        from outtakes.exhibition import show_demo
        from outtakes.study import demo

        lab = self.lab(self.settings(), self.out, console)
        comparison = demo(lab)
        report = show_demo(lab)
        console.result(
            f"{comparison.verdict}\n\nReport: {report.resolve()}",
            {"verdict": comparison.verdict, "report": str(report.resolve())},
        )


@dataclass
class Triage(_Overrides):
    """Rank and select the failures of your own dataset, and report; needs no simulator."""

    dataset: Annotated[Positional[Path], arg(metavar="DATASET")]
    """Folder of a LeRobotDataset v3.0 with successes and failures."""
    out: Path = Path("outtakes-triage")
    """Folder for everything."""
    keep: Literal["low", "mid", "high", "random"] = "low"
    """Which failures to keep."""
    count: int = 10
    """How many failures to keep."""
    short_episodes: Literal["refuse", "pad"] = "refuse"
    """What to do with episodes shorter than an action chunk."""

    def run(self, console: Console) -> None:
        """Triage and say which failures to keep."""
        from outtakes.exhibition import show_triage
        from outtakes.recipes import adapt
        from outtakes.stages import check_lengths, read_demos
        from outtakes.triage import triage

        lab = self.lab(self.settings(), self.out, console)
        demos = read_demos(lab, self.dataset)
        lab = replace(lab, recipe=adapt(lab.recipe, demos))
        if self.short_episodes == "refuse":
            check_lengths(demos, lab.recipe.act.chunk)
        selection = triage(lab, demos, keep=self.keep, count=self.count)
        content = show_triage(lab, demos, self.dataset)
        argument = selection.as_lerobot_argument()
        report = (self.out / "report.html").resolve()
        console.result(
            f"{content.verdict}\n\nKeep: {argument}\nReport: {report}",
            {
                "verdict": content.verdict,
                "kept": selection.kept,
                "dropped": selection.dropped,
                "lerobot_argument": argument,
                "report": str(report),
            },
        )


@dataclass
class Collect(_Verb):
    """Collect demonstrations by a scripted operator in simulation."""

    environment: Annotated[Positional[str], arg(metavar="TASK")]
    """The task, for example lift."""
    out: Path
    """Folder of the new LeRobot dataset."""
    successes: int | None = None
    """Successful demonstrations to keep; the recipe's when not given."""
    failures: int | None = None
    """Failed demonstrations to keep; the recipe's when not given."""
    seed: int = 0
    """Of everything random; the same seed gives the same dataset."""

    def run(self, console: Console) -> None:
        """Collect and say where."""
        from outtakes.recipes import recipe
        from outtakes.stages import record

        config = recipe(self.recipe).collect
        config = replace(
            config,
            environment=self.environment,
            successes=_given(self.successes, config.successes),
            failures=_given(self.failures, config.failures),
            seed=self.seed,
        )
        _check_writable(self.out.parent)
        record(config, self.out, progress=console.progress)
        console.result(f"Dataset: {self.out.resolve()}", {"dataset": str(self.out.resolve())})


@dataclass
class Train(_Overrides):
    """Train a policy on a dataset, one run a seed."""

    dataset: Annotated[Positional[Path], arg(metavar="DATASET")]
    """Folder of a LeRobotDataset v3.0."""
    out: Path
    """Folder for `runs/<policy>/seed-<n>/`; an interrupted run goes on."""
    policy: Literal["act", "act-pb"] = "act-pb"
    """ACT, or ACT with parametric bias and the KL term."""
    select: Path | None = None
    """selection.json naming the episodes to train on; all of them when not given."""
    short_episodes: Literal["refuse", "pad"] = "refuse"
    """What to do with episodes shorter than an action chunk."""
    wandb: bool = False
    """Also log to Weights & Biases."""

    def run(self, console: Console) -> None:
        """Train every seed and say where the runs are."""
        from outtakes.recipes import adapt
        from outtakes.stages import (
            check_lengths,
            check_success,
            load_selection,
            read_demos,
            train_seeds,
        )

        lab = self.lab(self.settings(), self.out, console)
        demos = read_demos(lab, self.dataset)
        lab = replace(lab, recipe=adapt(lab.recipe, demos))
        if self.short_episodes == "refuse":
            check_lengths(demos, lab.recipe.act.chunk)
        if self.policy == "act-pb":
            check_success(demos)
        episodes = [int(e) for e in demos.episode_indices]
        if self.select is not None:
            episodes = load_selection(self.select, demos).kept
        runs = train_seeds(lab, demos, self.policy, episodes, wandb=self.wandb)
        console.result(
            "\n".join(f"Run: {run}" for run in runs), {"runs": [str(run) for run in runs]}
        )


@dataclass
class Rank(_Verb):
    """Rank the failures by the attention of trained runs."""

    runs: Annotated[Positional[tuple[Path, ...]], arg(metavar="RUN [RUN ...]")]
    """Run folders of act-pb, one a seed."""
    out: Path = Path("scores.json")
    """File to write."""
    dataset: Path | None = None
    """The dataset, when it is no longer where the runs were trained on it."""

    def run(self, console: Console) -> None:
        """Rank and print the failures, nearest first."""
        from outtakes.recipes import recipe
        from outtakes.stages import rank, read_demos
        from outtakes.training.checkpoint import Checkpoint

        _check_given(self.runs, "run folder")
        dataset = self.dataset or Path(Checkpoint.load(self.runs[0]).dataset)
        lab = self.lab(recipe(self.recipe), self.out.absolute().parent, console)
        scores = rank(lab, read_demos(lab, dataset), self.runs, path=self.out)
        lines = [f"{f.episode:>8}  {f.mean:.4g}" for f in scores.ranked()]
        agreement = "" if scores.kendall_tau is None else f"\nKendall τ {scores.kendall_tau:.2f}"
        console.result(
            "\n".join([" episode  K̄ (nats), nearest first", *lines]) + agreement,
            {
                "scores": str(self.out),
                "ranked": [f.episode for f in scores.ranked()],
                "kendall_tau": scores.kendall_tau,
            },
        )


@dataclass
class Select(_Verb):
    """Choose which failures to train on, from their scores."""

    scores: Annotated[Positional[Path], arg(metavar="SCORES")]
    """scores.json, as `outtakes rank` writes it."""
    keep: Keep = "low"
    """Nearest, middle, farthest, random, or all below a threshold."""
    count: int = 10
    """How many failures to keep."""
    threshold: float | None = None
    """Greatest K̄ in nats, with --keep below."""
    fold: int = 0
    """Which of the disjoint random folds, with --keep random."""
    out: Path = Path("selection.json")
    """File to write."""

    def run(self, console: Console) -> None:
        """Select and print the episodes as other trainers take them."""
        from outtakes.selection.scores import Scores
        from outtakes.selection.select import select

        scores = Scores.load(self.scores)
        successes = [episode for episode, success, _, _ in scores.bias_map if success]
        selection = select(
            scores,
            successes,
            keep=self.keep,
            count=self.count,
            threshold=self.threshold,
            fold=self.fold,
        )
        selection.save(self.out)
        argument = selection.as_lerobot_argument()
        console.result(
            argument,
            {"selection": str(self.out), "kept": selection.kept, "lerobot_argument": argument},
        )


@dataclass
class Evaluate(_Verb):
    """Roll trained runs out in simulation, all from the same initial states."""

    runs: Annotated[Positional[tuple[Path, ...]], arg(metavar="RUN [RUN ...]")]
    """Run folders, `.../<arm>/seed-<n>`; the first arm is the baseline."""
    out: Path
    """Folder for rollouts.parquet and, with several arms, comparison.json."""
    rollouts: int | None = None
    """Rollouts of each run; the recipe's when not given."""
    environment: str = "lift"
    """The task."""
    ensemble: float | None = None
    """Average overlapping chunks with weights exp(-ENSEMBLE i), i = 0 the oldest (ACT's temporal
    ensembling, 0.01 there); chunks are executed as they are when not given."""
    neighbours: int | None = None
    """Successes whose PBs are averaged: 1 as in the paper, 0 for all; the recipe's when not
    given."""
    videos: int = 0
    """Initial states to film every run from, as mp4."""

    def run(self, console: Console) -> None:
        """Evaluate and print the success rates."""
        from outtakes.exhibition import film_runs
        from outtakes.recipes import recipe
        from outtakes.stages import evaluate_runs

        _check_given(self.runs, "run folder")
        chosen = recipe(self.recipe)
        chosen = replace(
            chosen,
            rollouts=_given(self.rollouts, chosen.rollouts),
            collect=replace(chosen.collect, environment=self.environment),
            controller=replace(
                chosen.controller,
                ensemble=self.ensemble,
                neighbours=_given(self.neighbours, chosen.controller.neighbours),
            ),
        )
        lab = self.lab(chosen, self.out, console)
        lines, content = evaluate_runs(lab, self.runs)
        if self.videos:
            videos = [str(video) for video in film_runs(lab, self.runs, self.videos)]
            lines += [f"Video: {video}" for video in videos]
            content["videos"] = videos
        console.result("\n".join(lines), content)


@dataclass
class Study(_Overrides):
    """The paper's experiments with controls, its numbers beside ours; resumable."""

    name: Positional[Literal["paper"]]
    """Which study."""
    out: Path = Path("outtakes-study")
    """Folder for everything."""
    selection_seeds: tuple[int, ...] | None = None
    """Training seeds of Experiment 2."""
    few_successes: tuple[int, ...] | None = None
    """Numbers of successes to repeat Experiment 1 with."""

    def run(self, console: Console) -> None:
        """Run what is missing and print the tables."""
        from outtakes.exhibition import show_demo
        from outtakes.study import StudyPlan, paper

        changes = {
            "seeds": self.seeds,
            "selection_seeds": self.selection_seeds,
            "few_successes": self.few_successes,
        }
        plan = replace(StudyPlan(), **{k: v for k, v in changes.items() if v is not None})
        lab = self.lab(self.settings(), self.out, console)
        comparisons = paper(lab, plan)
        report = show_demo(lab)
        tables = (self.out / "tables.md").read_text(encoding="utf-8")
        console.result(
            f"{tables}\nReport: {report.resolve()}",
            {
                "verdicts": {name: c.verdict for name, c in comparisons.items()},
                "report": str(report.resolve()),
            },
        )


@dataclass
class Report(_Verb):
    """Write the report of an experiment's folder again."""

    out: Annotated[Positional[Path], arg(metavar="DIR")]
    """Folder of a demo, triage or study."""

    def run(self, console: Console) -> None:
        """Write report.html."""
        from outtakes.report.html import write_report
        from outtakes.summary import gather

        page = write_report(gather(self.out), self.out).resolve()
        console.result(f"Report: {page}", {"report": str(page)})


@dataclass
class Doctor(_Verb):
    """Check versions, renderer, devices and disk of this machine."""

    def run(self, console: Console) -> None:
        """Print the findings; exit code 2 when something must be mended."""
        from outtakes.doctor import inspect_machine

        machine = inspect_machine()
        console.result(
            "\n".join(f"{f.level:>4}  {f.subject}: {f.text}" for f in machine.findings),
            {
                "healthy": machine.healthy,
                "findings": [
                    {"level": f.level, "subject": f.subject, "text": f.text}
                    for f in machine.findings
                ],
            },
        )
        if not machine.healthy:
            raise SystemExit(2)


_VERBS = (
    Annotated[Demo, subcommand("demo")]
    | Annotated[Triage, subcommand("triage")]
    | Annotated[Collect, subcommand("collect")]
    | Annotated[Train, subcommand("train")]
    | Annotated[Rank, subcommand("rank")]
    | Annotated[Select, subcommand("select")]
    | Annotated[Evaluate, subcommand("evaluate")]
    | Annotated[Study, subcommand("study")]
    | Annotated[Report, subcommand("report")]
    | Annotated[Doctor, subcommand("doctor")]
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point: exit code 0 done, 2 the user can mend it, 1 our fault."""
    verb: _Verb = tyro.cli(
        _VERBS,  # type: ignore[arg-type]
        prog="outtakes",
        description="Put failed robot demonstrations to work.",
        args=arguments,
    )
    console = Console(as_json=verb.json)
    sys.exit(_guarded(lambda: verb.run(console), console))


def _guarded(work: Callable[[], None], console: Console) -> int:
    """Run, turning what the user can mend into one line and code 2."""
    try:
        work()
    except OuttakesError as error:
        console.error(str(error))
        return 2
    except ModuleNotFoundError as error:
        console.error(str(_missing(error)))
        return 2
    except KeyboardInterrupt:
        console.error("stopped; the same command goes on from here")
        return 130
    finally:
        console.close()
    return 0


def _missing(error: ModuleNotFoundError) -> MachineError:
    """The user's version of a package that is not installed; our own faults pass through."""
    from outtakes.doctor import EXTRAS

    package = (error.name or "").split(".")[0]
    if package not in EXTRAS:
        raise error
    return MachineError(
        f"{package} is not installed", remedy=f"pip install 'outtakes[{EXTRAS[package]}]'"
    )


def _check_writable(folder: Path) -> None:
    """Refuse a folder that cannot be written to, or made, before hours of work go into it."""
    from outtakes.files import unwritable

    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise unwritable(folder, error) from error


def _given(value: int | None, default: int) -> int:
    """What the user gave, else the recipe's."""
    return default if value is None else value


def _check_given(paths: Sequence[Path], what: str) -> None:
    if not paths:
        raise ConfigError(f"no {what}", remedy=f"give at least one {what}")

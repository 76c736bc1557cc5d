"""Verbs that do everything from data to report: demo, triage, study; and report itself."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from outtakes.cli.reads import Trains
from outtakes.cli.verb import Overrides, Verb
from outtakes.console import Console


@dataclass
class Demo(Overrides):
    """Collect, train, rank, select, retrain, evaluate and report, on a simulated task."""

    out: Path = Path("outtakes-demo")
    """Folder for everything; a second call goes on where the first stopped."""
    task: str = "lift"
    """The simulated task."""

    def run(self, console: Console) -> None:
        """Run the main job and say where the report is."""
        from outtakes.exhibition import show_demo
        from outtakes.recipes import on_task
        from outtakes.study import demo

        lab = self.lab(on_task(self.settings(), self.task), self.out, console)
        comparison = demo(lab)
        report = show_demo(lab)
        console.result(
            f"{comparison.verdict}\n\nReport: {report.resolve()}",
            {"verdict": comparison.verdict, "report": str(report.resolve())},
        )


@dataclass
class Triage(Trains):
    """Rank and select the failures of your own dataset, and report; needs no simulator."""

    out: Path = Path("outtakes-triage")
    """Folder for everything."""
    keep: Literal["low", "mid", "high", "random"] = "low"
    """Which failures to keep."""
    count: int = 10
    """How many failures to keep."""

    def run(self, console: Console) -> None:
        """Triage and say which failures to keep."""
        from outtakes.exhibition import show_triage
        from outtakes.overview import Overview
        from outtakes.triage import triage

        lab, demos, folder = self.read(self.out, console)
        selection = triage(lab, demos, keep=self.keep, count=self.count)
        content = show_triage(lab, demos, folder, self.dataset)
        argument, overview = selection.as_lerobot_argument(), Overview(demos, lab.recipe)
        report = (self.out / "report.html").resolve()
        console.result(
            f"{content.verdict}\n{overview.left_out()}\nKeep: {argument}\nReport: {report}",
            {
                "settings": overview.facts(),
                "verdict": content.verdict,
                "kept": selection.kept,
                "dropped": selection.dropped,
                "lerobot_argument": argument,
                "report": str(report),
            },
        )


@dataclass
class Study(Overrides):
    """The paper's experiments with controls, its numbers beside ours; resumable."""

    name: Positional[Literal["paper"]]
    """Which study."""
    out: Path = Path("outtakes-study")
    """Folder for everything."""
    task: str = "lift"
    """The simulated task."""
    selection_seeds: tuple[int, ...] | None = None
    """Training seeds of Experiment 2."""
    few_successes: tuple[int, ...] | None = None
    """Numbers of successes to repeat Experiment 1 with."""

    def run(self, console: Console) -> None:
        """Run what is missing and print the tables."""
        from outtakes.exhibition import show_demo
        from outtakes.recipes import on_task
        from outtakes.study import StudyPlan, paper

        changes = {
            "seeds": self.seeds,
            "selection_seeds": self.selection_seeds,
            "few_successes": self.few_successes,
        }
        plan = replace(StudyPlan(), **{k: v for k, v in changes.items() if v is not None})
        lab = self.lab(on_task(self.settings(), self.task), self.out, console)
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
class Report(Verb):
    """Write the report of an experiment's folder again."""

    out: Annotated[Positional[Path], arg(metavar="DIR")]
    """Folder of a demo, triage or study."""

    def run(self, console: Console) -> None:
        """Write report.html."""
        from outtakes.report.html import write_report
        from outtakes.summary import gather

        page = write_report(gather(self.out), self.out).resolve()
        console.result(f"Report: {page}", {"report": str(page)})

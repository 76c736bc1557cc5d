"""Verbs that do everything from data to report: demo and triage; and report itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from outtakes.cli.dataset_options import Trains
from outtakes.cli.finished import Finished
from outtakes.cli.in_words import advice
from outtakes.cli.verb import Overrides, Verb, episode_list
from outtakes.console import Console

if TYPE_CHECKING:
    from outtakes.api import Triaged


@dataclass
class Demo(Overrides):
    """Collect, train, rank, select, retrain, evaluate and report, on a simulated task."""

    needs = ("av", "jinja2", "lerobot", "mujoco", "pyarrow", "scipy")

    out: Path = Path("outtakes-demo")
    """Folder for everything; a second call goes on where the first stopped."""
    task: str = "lift"
    """The simulated task."""

    def run(self, console: Console) -> None:
        """Run the main job and say where the report is."""
        finished = Finished(self, self.out)
        if finished.told_again(console):
            return
        from outtakes import api

        lab = self.lab(self.settings(), self.out, console, task=self.task)
        console.note(f"  Work      {api.work_of_demo(lab)}")
        _tell(finished, console, api.demo(lab))


@dataclass
class Triage(Trains):
    """Rank and select the failures of your own dataset, and report; needs no simulator."""

    needs = ("PIL", "av", "jinja2", "pyarrow", "scipy")

    out: Path = Path("outtakes-triage")
    """Folder for everything."""
    keep: Literal["best", "worst", "low", "mid", "high", "random", "below"] = "best"
    """Which failures to keep: those expected to teach most, or least; those of the lowest, middle
    or highest scores; some at random; or all below a threshold."""
    count: int | None = None
    """How many failures to keep; 10, or all when there are fewer, when not given."""
    threshold: float | None = None
    """In the unit of the scores, with --keep below."""
    by: str = "attention"
    """What to rank them by: a ranker, or several as NAME[=WEIGHT],...; see `outtakes rank`."""

    def run(self, console: Console) -> None:
        """Triage and say which failures to keep."""
        files = [Path(self.dataset), *([self.labels] if self.labels else [])]
        finished = Finished(self, self.out, files)
        if Path(self.dataset).exists() and finished.told_again(console):
            return
        from outtakes import api

        api.chosen_rankers(self.by)
        prepared = self.prepare(self.out, console)
        work = api.work_of_triage(prepared, self.by)
        console.note(work.sentence())
        found = api.triage_prepared(
            prepared, by=self.by, keep=self.keep, count=self.count, threshold=self.threshold
        )
        overview = prepared.overview
        _, argument = episode_list(found.selection, self.out / "selection.json", prepared.folder)
        facts = {
            "settings": overview.facts(),
            "work": work.facts(),
            "lerobot_argument": argument,
        }
        _tell(finished, console, found, facts, overview.left_out())


def _tell(
    finished: Finished,
    console: Console,
    found: Triaged,
    facts: Mapping[str, object] | None = None,
    left_out: str = "",
) -> None:
    """The recommendation, and where everything is; what was selected is not what is recommended."""
    page = found.report.resolve()
    finished.tell(
        console,
        f"{advice(found.recommendation)}\n{left_out}\nReport: {page}",
        {
            "recommendation": found.recommendation.as_json(),
            "kept": found.selection.kept,
            "dropped": found.selection.dropped,
            "lerobot_argument": found.selection.as_lerobot_argument(),
            "report": str(page),
            **(facts or {}),
        },
    )


@dataclass
class Report(Verb):
    """Write the report of an experiment's folder again."""

    needs = ("PIL", "av", "jinja2", "pyarrow", "scipy")

    out: Annotated[Positional[Path], arg(metavar="DIR")]
    """Folder of a demo, triage or study."""

    def run(self, console: Console) -> None:
        """Write report.html."""
        from outtakes import api

        page = api.report(self.out).resolve()
        console.result(f"Report: {page}", {"report": str(page)})

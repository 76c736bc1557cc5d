"""Verbs that do everything from data to report: demo and triage; and report itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from outtakes.cli.dataset_options import Trains
from outtakes.cli.finished import Finished
from outtakes.cli.in_words import advice
from outtakes.cli.verb import Overrides, Verb, episode_list
from outtakes.console import Console

if TYPE_CHECKING:
    from outtakes.api import Recipe, Triaged
    from outtakes.data.reading import Reading


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
    by: str | None = None
    """What to rank them by: a ranker, or several as NAME[=WEIGHT],...; see `outtakes rank`. When
    not given, attention with act-pb, and action-error with any other policy."""
    policy: str = "act-pb"
    """The policy that failures are tried with: act-pb, act, flow, afil, cfgrl, or another
    package's; see `outtakes train`."""

    def run(self, console: Console) -> None:
        """Triage and say which failures to keep."""
        files = [Path(self.dataset), *([self.labels] if self.labels else [])]
        finished = Finished(self, self.out, files)
        if Path(self.dataset).exists() and finished.told_again(console):
            return
        from outtakes import api

        api.check_policy(self.policy)
        by = self.by or api.ranker_for(self.policy)
        api.chosen_rankers(by)
        prepared = self.prepare(self.out, console)
        work = api.work_of_triage(prepared, by, self.policy)
        console.note(work.sentence())
        found = api.triage_prepared(
            prepared,
            policy=self.policy,
            by=by,
            keep=self.keep,
            count=self.count,
            threshold=self.threshold,
        )
        overview = prepared.overview
        _, argument = episode_list(found.selection, self.out / "selection.json", prepared.folder)
        facts = {
            "settings": overview.facts(),
            "work": work.facts(),
            "lerobot_argument": argument,
        }
        _tell(finished, console, found, facts, overview.left_out())


@dataclass
class Afil(Trains):
    """Learn from successes, fail, learn what to stay away from, and try again, beside controls."""

    needs = ("av", "lerobot", "mujoco", "pyarrow", "scipy")

    dataset: Annotated[Positional[str], arg(metavar="DATASET|TASK")]
    """A dataset of the task with object poses; or a simulated task to collect one of."""
    out: Path = Path("outtakes-afil")
    """Folder for everything; a second call goes on where the first stopped."""
    task: str = "lift"
    """The simulated task of the dataset."""
    failures: Literal["own", "demonstrated", "both"] = "own"
    """Which failures to stay away from: those the policy makes itself, the dataset's, or both."""
    count: int = 20
    """Failures of its own to find in each round."""
    rounds: int = 1
    """Times that the guided policy fails and learns again."""
    alphas: tuple[float, ...] = (1.0,)
    """Strengths of the guidance; the first is in question."""
    rollouts: int | None = None
    """Rollouts of every seed of every arm; the recipe's when not given."""

    def run(self, console: Console) -> None:
        """Do what is missing of every round and print their tables."""
        from outtakes import api
        from outtakes.sim.environment import environments

        plan = api.AfilPlan(self.failures, self.count, self.rounds, self.alphas)
        if self.dataset in environments():
            task = self.dataset
            prepared = api.prepare_task(self.lab(self.settings(), self.out, console, task=task))
        else:
            task, prepared = self.task, self.prepare(self.out, console)
        found = api.afil(prepared, plan, task=task)
        tables = [
            (self.out / f"round-{n + 1}" / "tables.md").read_text(encoding="utf-8")
            for n in range(plan.rounds)
        ]
        console.result(
            "\n".join(tables),
            {
                "verdicts": [c.verdict() for c in found],
                "rates": [{name: r.rate for name, r in c.rates.items()} for c in found],
            },
        )

    def settings(self) -> Recipe:
        """The recipe, with so many rollouts."""
        chosen = super().settings()
        return chosen if self.rollouts is None else replace(chosen, rollouts=self.rollouts)

    def reading(self) -> Reading:
        """Without pictures."""
        return replace(super().reading(), cameras=())


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

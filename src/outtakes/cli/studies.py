"""`outtakes study`: experiments that take hours, each resumable, each with a folder of its own."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import OmitArgPrefixes, OmitSubcommandPrefixes, subcommand

from outtakes.cli.study_options import OnCell, OnReplicates, OnTask
from outtakes.console import Console

_BASELINE = "act-s"
"""What advice must not do worse than."""


@dataclass(kw_only=True)
class StudyPaper(OnTask):
    """The paper's experiments with controls, its numbers beside ours."""

    selection_seeds: tuple[int, ...] | None = None
    """Training seeds of Experiment 2."""
    few_successes: tuple[int, ...] | None = None
    """Numbers of successes to repeat Experiment 1 with."""

    def run(self, console: Console) -> None:
        """Run what is missing and print the tables."""
        from outtakes import api

        changes = {
            "seeds": self.seeds,
            "selection_seeds": self.selection_seeds,
            "few_successes": self.few_successes,
        }
        plan = replace(api.StudyPlan(), **{k: v for k, v in changes.items() if v is not None})
        lab = self.laboratory(console)
        comparisons, report = api.run_study(lab, plan)
        tables = (self.out / "tables.md").read_text(encoding="utf-8")
        console.result(
            f"{tables}\nReport: {report.resolve()}",
            {
                "verdicts": {name: c.verdict() for name, c in comparisons.items()},
                "report": str(report.resolve()),
            },
        )


@dataclass(kw_only=True)
class StudyBudgets(OnCell):
    """How long to train: a learning curve for every way to train, on tuning data."""

    arms: tuple[str, ...] | None = None
    """Ways to train, for example act-s act-15 act-all; all when not given."""
    lengths: tuple[int, ...] | None = None
    """Optimiser steps at which to roll out."""
    policy: Literal["act", "flow"] = "act"
    """The family of the ways to train: ACT's, or those of flow matching, AFIL among them."""

    def run(self, console: Console) -> None:
        """Measure what is missing and print the curves."""
        from outtakes.experiments import replication

        found = replication.measure_budgets(
            self.cell(console, tuning=True),
            arms=self.arms,
            lengths=self.lengths,
            family=self.policy,
        )
        curves = {
            name: {"steps": list(c.steps), "rates": c.means.round(4).tolist(), "best": c.best}
            for name, c in found.curves.items()
        }
        console.result(found.table(), {"curves": curves})


@dataclass(kw_only=True)
class StudyForesight(OnCell):
    """What advice without rollouts is worth: held-out error along learning curves that were rolled
    out."""

    budgets: Path
    """`budgets.json` of the same task, number of successes and collection."""

    def run(self, console: Console) -> None:
        """Measure the errors that are missing and print how far they tell the rest."""
        from outtakes.evaluation.learning_curves import Budgets
        from outtakes.experiments import replication

        measured = Budgets.load(self.budgets)
        found = replication.foretell(self.cell(console, tuning=True), measured)
        told = {"foretold": [asdict(f) for f in found.foretold]}
        console.result(found.table(_BASELINE), told)


@dataclass(kw_only=True)
class StudyUsefulness(OnCell):
    """What each failure is worth, by retraining on random subsets; on tuning data."""

    subsets: int = 200
    """Random subsets to retrain on."""
    size: int = 15
    """Failures in each."""

    def run(self, console: Console) -> None:
        """Retrain what is missing and print what failures are worth."""
        from outtakes.experiments.random_subsets import SubsetPlan, measure_usefulness

        cell = self.cell(console, tuning=True)
        steps = cell.lab.recipe.train.steps
        plan = SubsetPlan(size=self.size, subsets=self.subsets, steps=steps)
        found = measure_usefulness(cell, plan)
        worth = sorted(zip(found.effects, found.episodes, strict=True), reverse=True)
        lines = [f"  episode {episode}: {100 * effect:+.1f} points" for effect, episode in worth]
        console.result(
            f"Reliability {found.reliability:.2f} from {found.subsets} subsets.\n"
            + "\n".join(lines),
            {
                "reliability": found.reliability,
                "effects": {str(e): float(effect) for effect, e in worth},
            },
        )


@dataclass(kw_only=True)
class StudyRankers(OnReplicates):
    """Rankers judged by the policies they make: each one's choice of failures against chance."""

    by: tuple[str, ...] = ("attention", "coverage", "action-error")
    """Rankers; several joined by commas count as one."""
    keep: tuple[Literal["best", "worst"], ...] = ("best",)
    """Which ends of each ranking to train on."""
    counts: tuple[int, ...] = (15,)
    """How many failures to keep."""
    draws: int = 2
    """Random selections of each size."""
    budgets: Path | None = None
    """`budgets.json` of the same task and number of successes: how long to train with no failures,
    some and all; as long as the recipe says when not given."""

    def run(self, console: Console) -> None:
        """Train what is missing and print the table."""
        from outtakes.evaluation.learning_curves import Budgets
        from outtakes.experiments.replication import screen
        from outtakes.experiments.screening import ScreeningPlan, at_random, tuned_steps

        plan = ScreeningPlan(
            rankers=self.by,
            counts=self.counts,
            ends=self.keep,
            draws=self.draws,
            steps=None if self.budgets is None else tuned_steps(Budgets.load(self.budgets)),
        )
        found = screen(self.laboratory(console), plan, **self.repeated())
        table = found.table(at_random(found), title="Failures kept", than="as many at random")
        console.result(table, {"rates": dict(found.rates)})


@dataclass(kw_only=True)
class StudyWays(OnReplicates):
    """Ways to use all failures, each trained as long as was tuned, against the successes alone."""

    budgets: Path
    """`budgets.json` of the same task and number of successes."""
    arms: tuple[str, ...] | None = None
    """Which ways, for example act-s act-all; all that were tuned when not given."""
    held_out: bool = False
    """Also measure how far their error on held-out successes tells their success."""
    policy: Literal["act", "flow"] | None = None
    """The family of the ways to train; all that were tuned when not given."""

    def run(self, console: Console) -> None:
        """Train what is missing and print the table."""
        from outtakes.evaluation.foresight import Foresight
        from outtakes.evaluation.learning_curves import Budgets
        from outtakes.experiments.comparing import against_successes
        from outtakes.experiments.foretelling import FORESIGHT
        from outtakes.experiments.replication import compare_ways

        tuned = Budgets.load(self.budgets)
        found = compare_ways(
            self.laboratory(console),
            tuned,
            arms=self.arms,
            held_out=self.held_out,
            family=self.policy,
            **self.repeated(),
        )
        against = against_successes(found)
        best = next(iter(against.values()), "")
        table = found.table(against, title="Way to train", than=best)
        if self.held_out:
            foresight = Foresight.load(self.out / FORESIGHT)
            table = f"{table}\n\n{foresight.table(_BASELINE)}"
        console.result(table, {"rates": dict(found.rates)})


@dataclass(kw_only=True)
class StudyWorth(OnTask):
    """What failures are worth in demonstrations: success by the number of successes."""

    numbers: tuple[int, ...] = (5, 10, 20, 30, 50, 100)
    """Numbers of successes, with the failures and without."""
    steps_without: tuple[int, ...] | None = None
    """Training length for each number without failures, as tuned; the recipe's when not given."""
    steps_with: tuple[int, ...] | None = None
    """Training length for each number with them."""
    replicates: int = 8
    """Collections, each with initial states and training seeds of its own."""
    rollouts: int | None = None
    """Rollouts of every seed of every arm; the recipe's when not given."""

    def run(self, console: Console) -> None:
        """Train what is missing and print the table."""
        from outtakes.experiments.replication import measure_worth
        from outtakes.experiments.worth import WorthPlan, replaced, with_against_without

        plan = WorthPlan(self.numbers, self.steps_without, self.steps_with)
        lab = self.laboratory(console)
        collect = replace(lab.recipe.collect, successes=max(self.numbers))
        lab = replace(lab, recipe=replace(lab.recipe, collect=collect))
        found = measure_worth(lab, plan, replicates=self.replicates, rollouts=self.rollouts)
        table = found.table(with_against_without(plan), title="Trained on", than="without failures")
        worths = [replaced(found, plan, number) for number in self.numbers]
        lines = [
            f"Beside {w.number} successes the failures are worth {w.more:.0f} more "
            f"({w.low:.0f} to {w.high:.0f})."
            for w in worths
        ]
        console.result(
            "\n".join([table, "", *lines]),
            {"rates": dict(found.rates), "worth": [w.as_json() for w in worths]},
        )


@dataclass(kw_only=True)
class StudyAfil(OnReplicates):
    """Guidance away from failures, at several strengths, beside its controls."""

    alphas: tuple[float, ...] = (1.0, 0.5, 2.0, 4.0, 8.0)
    """Strengths of the guidance; 0 is always among them."""
    failures: tuple[Literal["demonstrated", "own", "both"], ...] = ("demonstrated", "own")
    """Where the failures are from."""
    count: int = 20
    """Failures of its own to find."""

    def run(self, console: Console) -> None:
        """Train what is missing and print the table."""
        from outtakes.experiments.replication import against_flow, compare_alphas

        found = compare_alphas(
            self.laboratory(console),
            self.alphas,
            origins=self.failures,
            count=self.count,
            **self.repeated(),
        )
        table = found.table(against_flow(found), title="Guided", than="the successes alone")
        console.result(table, {"rates": dict(found.rates)})


_STUDIES = (
    Annotated[StudyPaper, subcommand("paper")]
    | Annotated[StudyBudgets, subcommand("budgets")]
    | Annotated[StudyForesight, subcommand("foresight")]
    | Annotated[StudyUsefulness, subcommand("usefulness")]
    | Annotated[StudyRankers, subcommand("rankers")]
    | Annotated[StudyWays, subcommand("ways")]
    | Annotated[StudyWorth, subcommand("worth")]
    | Annotated[StudyAfil, subcommand("afil")]
)


@dataclass
class Study:
    """Experiments that take hours; each can be stopped, and goes on where it was."""

    needs = OnTask.needs
    which: OmitArgPrefixes[OmitSubcommandPrefixes[_STUDIES]]
    """Which study."""

    @property
    def json(self) -> bool:
        """See `Verb.json`."""
        return self.which.json

    def run(self, console: Console) -> None:
        """Run it."""
        self.which.run(console)

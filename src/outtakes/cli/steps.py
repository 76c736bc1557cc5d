"""Verbs that are one step of the pipeline: collect, train, rank, select, evaluate."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from outtakes.cli.reads import Reads, Trains
from outtakes.cli.verb import Verb, check_given, check_writable, given
from outtakes.console import Console
from outtakes.errors import ConfigError

if TYPE_CHECKING:
    from outtakes.policy.checkpoint import Checkpoint
    from outtakes.ranking.scores import FailureScore

Keep = Literal["best", "worst", "low", "mid", "high", "random", "below"]


@dataclass
class Train(Trains):
    """Train a policy on a dataset, one run a seed."""

    needs = ("pyarrow",)

    out: Path
    """Folder for `runs/<policy>/seed-<n>/`; an interrupted run goes on."""
    policy: str = "act-pb"
    """act: ACT; act-pb: ACT with parametric bias and the KL term; flow: flow matching; afil: flow
    matching guided away from failures, after the flow policy it starts from; cfgrl: flow matching
    guided by the outcome; or the kind of a policy that another package brings."""
    select: Path | None = None
    """selection.json naming the episodes to train on; all of them when not given."""
    wandb: bool = False
    """Also log to Weights & Biases."""

    def run(self, console: Console) -> None:
        """Train every seed and say where the runs are."""
        from outtakes.api import check_policy, load_selection, train_prepared

        check_policy(self.policy)
        prepared = self.prepare(self.out, console)
        overview = prepared.overview
        selection = None if self.select is None else load_selection(self.select, prepared.demos)
        runs = train_prepared(prepared, self.policy, selection=selection, wandb=self.wandb)
        console.result(
            "\n".join(f"Run: {run}" for run in runs) + overview.left_out(),
            {
                "settings": overview.facts(),
                "runs": [str(run) for run in runs],
            },
        )


@dataclass
class Rank(Reads):
    """Rank the failures by what trained runs make of them, or by the dataset alone."""

    needs = ("pyarrow",)

    source: Annotated[Positional[tuple[str, ...]], arg(metavar="RUN [RUN ...]|DATASET")]
    """Run folders, one a seed: by attention of act-pb, by action-error of any policy that was
    trained on the successes alone, by influence on some of them; for several rankers all that
    they need. Or a dataset, by what
    needs no run."""
    by: str = "attention"
    """What to rank by: attention (the paper's), attention-rank, action-error or influence, by runs;
    coverage, coverage-greedy, neighbours, dtw, quality, information, smoothness, length or random,
    by the dataset alone; or another package's ranker. Several as NAME[=WEIGHT],... rank by the mean
    of their ranks."""
    out: Path = Path("scores.json")
    """File to write."""
    dataset: str | None = None
    """The dataset, when it is no longer where the runs were trained on it."""
    pairs: int | None = None
    """Estimate each score from about so many (time step, success) pairs drawn at random, with a
    standard error; exact, from every pair, when not given. For datasets too large for all pairs;
    by attention alone."""

    def run(self, console: Console) -> None:
        """Rank and print the failures, those expected to teach most first."""
        from outtakes import api

        check_writable(self.out.absolute().parent)
        runs, dataset = self._source(api.needs_runs(api.chosen_rankers(self.by, self.pairs)))
        scores = api.rank(
            runs,
            self.load(dataset, console),
            by=self.by,
            pairs=self.pairs,
            device=self.device,
            progress=console.progress,
        )
        scores.save(self.out)
        measure = scores.measure
        heading = f" episode  {measure.symbol} ({measure.unit}), {measure.useful.value}est first"
        if self.pairs is not None:
            heading += ", ± standard error of the sample"
        lines = [heading, *(_ranked_line(failure) for failure in scores.ranked())]
        agreement = "" if scores.kendall_tau is None else f"\nKendall τ {scores.kendall_tau:.2f}"
        console.result(
            "\n".join(lines) + agreement,
            {
                "scores": str(self.out),
                "by": measure.key,
                "ranked": [f.episode for f in scores.ranked()],
                "kendall_tau": scores.kendall_tau,
            },
        )

    def _source(self, trained: bool) -> tuple[list[Checkpoint], str]:
        """The runs, none where the dataset is all that is needed, and where the dataset is."""
        from outtakes.policy.checkpoint import FILE, Checkpoint

        check_given(self.source, "run folder" if trained else "dataset")
        paths = [Path(source) for source in self.source]
        if trained:
            runs = [Checkpoint.load(path) for path in paths]
            return runs, self.dataset or runs[0].dataset
        if self.dataset is not None:
            return [], self.dataset
        run = next((path for path in paths if (path / FILE).is_file()), None)
        if run is not None:
            return [], Checkpoint.load(run).dataset
        if len(paths) > 1:
            raise ConfigError(
                f"{len(paths)} datasets to rank by {self.by}", remedy="give one dataset"
            )
        return [], self.source[0]


def _ranked_line(failure: FailureScore) -> str:
    error = failure.standard_error
    return f"{failure.episode:>8}  {failure.mean:.4g}" + (
        "" if error is None else f" ± {error:.2g}"
    )


@dataclass
class Select(Verb):
    """Choose which failures to train on, from their scores."""

    scores: Annotated[Positional[Path], arg(metavar="SCORES")]
    """scores.json, as `outtakes rank` writes it."""
    keep: Keep = "best"
    """Those expected to teach most, or least; of the lowest, middle or highest scores; random; or
    all below a threshold."""
    count: int = 10
    """How many failures to keep."""
    threshold: float | None = None
    """In the unit of the scores, with --keep below."""
    fold: int = 0
    """Which of the disjoint random folds, with --keep random."""
    out: Path = Path("selection.json")
    """File to write."""

    def run(self, console: Console) -> None:
        """Select and print the episodes as other trainers take them."""
        from outtakes import api
        from outtakes.ranking.scores import Scores

        scores = Scores.load(self.scores)
        selection = api.select(
            scores,
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
class Evaluate(Verb):
    """Roll trained runs out in simulation, all from the same initial states."""

    needs = ("mujoco", "pyarrow", "scipy")

    runs: Annotated[Positional[tuple[Path, ...]], arg(metavar="RUN [RUN ...]")]
    """Run folders, `.../<arm>/seed-<n>`; the first arm is the baseline."""
    out: Path
    """Folder for rollouts.parquet and, with several arms, comparison.json."""
    rollouts: int | None = None
    """Rollouts of each run; the recipe's when not given."""
    task: str = "lift"
    """The simulated task."""
    ensemble: float | None = None
    """Average overlapping chunks with weights exp(-ENSEMBLE i), i = 0 the oldest (ACT's temporal
    ensembling, 0.01 there); chunks are executed as they are when not given."""
    steering: str | None = None
    """What policies with parametric bias are steered by: nearest (the paper's), nearest-<n>, mean
    or zero; the recipe's when not given."""
    videos: int = 0
    """Initial states to film every run from, as mp4."""
    signals: tuple[str, ...] = ()
    """Record these at every query of the policies, in signals.parquet: revision, or another
    package's."""

    def run(self, console: Console) -> None:
        """Evaluate and print the success rates."""
        from outtakes import api

        check_given(self.runs, "run folder")
        chosen = self.settings()
        controller = replace(
            chosen.controller,
            ensemble=self.ensemble,
            steering=chosen.controller.steering if self.steering is None else self.steering,
        )
        rollouts = given(self.rollouts, chosen.rollouts)
        chosen = replace(chosen, rollouts=rollouts, controller=controller)
        lab = self.lab(chosen, self.out, console, task=self.task)
        found = api.evaluate_runs(lab, self.runs, videos=self.videos, signals=self.signals)
        lines = [
            f"{arm}: {100 * r.rate:.1f} % ({100 * r.low:.1f} to {100 * r.high:.1f}), "
            f"{r.n_seeds} seeds"
            for arm, r in found.rates.items()
        ]
        content: dict[str, object] = {"rates": {a: asdict(r) for a, r in found.rates.items()}}
        if found.comparison is not None:
            content["verdict"] = found.comparison.verdict()
            lines.append(found.comparison.verdict())
        if self.videos:
            content["videos"] = [str(video) for video in found.videos]
            lines += [f"Video: {video}" for video in found.videos]
        console.result("\n".join(lines), content)

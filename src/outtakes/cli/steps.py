"""Verbs that are one step of the pipeline: collect, train, rank, select, evaluate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from outtakes.cli.dataset_options import Reads, Trains
from outtakes.cli.verb import Verb, check_given, check_writable, episode_list, given
from outtakes.console import Console
from outtakes.errors import ConfigError

if TYPE_CHECKING:
    from outtakes.api import Lab
    from outtakes.evaluation.times import TimeToSuccess
    from outtakes.policy.checkpoint import Checkpoint
    from outtakes.ranking.scores import FailureScore

Keep = Literal["best", "worst", "low", "mid", "high", "random", "below"]


_MOST_ROLLOUTS = 1000
"""Of each run, until the answer is clear."""


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
        lines = [heading]
        for task, ranked in scores.by_task().items():
            lines += [f"{task}:"] if len(scores.tasks) > 1 else []
            lines += [_ranked_line(failure) for failure in ranked]
        if scores.unranked:
            alone = ", ".join(map(str, scores.unranked))
            lines.append(f"Not ranked, as their task has no success: {alone}")
        agreement = "" if scores.kendall_tau is None else f"\nKendall τ {scores.kendall_tau:.2f}"
        console.result(
            "\n".join(lines) + agreement,
            {
                "scores": str(self.out),
                "by": measure.key,
                "ranked": [f.episode for f in scores.ranked()],
                "unranked": list(scores.unranked),
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
    count: int | None = None
    """How many failures to keep; 10, or all when there are fewer, when not given."""
    threshold: float | None = None
    """In the unit of the scores, with --keep below."""
    fold: int = 0
    """Which of the disjoint random folds, with --keep random."""
    out: Path = Path("selection.json")
    """File to write."""

    def run(self, console: Console) -> None:
        """Select and print the episodes as other trainers take them."""
        from outtakes.ranking.scores import Scores
        from outtakes.selection.select import select

        scores = Scores.load(self.scores)
        selection = select(
            scores,
            scores.successes,
            keep=self.keep,
            count=self.count,
            threshold=self.threshold,
            fold=self.fold,
        )
        selection.save(self.out)
        text, argument = episode_list(selection, self.out, Path(scores.dataset))
        lines, facts = [text], {}
        if self.keep == "below":
            means = sorted(failure.mean for failure in scores.failures)
            kept = len(set(selection.kept) - set(scores.successes))
            lines.insert(
                0,
                f"{kept} of {len(means)} failures are at {self.threshold:g} {scores.measure.unit} "
                f"or below; they range from {means[0]:.4g} to {means[-1]:.4g}",
            )
            facts = {"failures_kept": kept, "range": [means[0], means[-1]]}
        console.result(
            "\n".join(lines),
            {
                "selection": str(self.out),
                "kept": selection.kept,
                "lerobot_argument": argument,
                **facts,
            },
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
    """Rollouts of each run; the recipe's when not given. With --until-clear the most there will be,
    1000 when not given."""
    until_clear: bool = False
    """Compare two arms and stop as soon as it is clear which succeeds more often, or that they
    differ by less than --margin; looking all the time is allowed for. No videos, no signals."""
    margin: float = 0.1
    """With --until-clear: a difference in success rate that is surely smaller counts as none."""
    task: str = "lift"
    """The simulated task."""
    ensemble: float | None = None
    """Average overlapping chunks with weights exp(-ENSEMBLE i), i = 0 the oldest (ACT's temporal
    ensembling, 0.01 there); chunks are executed as they are when not given."""
    steering: str | None = None
    """What policies that can be steered are steered by: with parametric bias nearest (the paper's),
    nearest-<n>, mean or zero; afil adaptive-<alpha> or constant-<w>; cfgrl guided-<w>. The
    recipe's, or the policy's own default, when not given."""
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
        controller = replace(chosen.controller, ensemble=self.ensemble)
        rollouts = given(self.rollouts, _MOST_ROLLOUTS if self.until_clear else chosen.rollouts)
        chosen = replace(chosen, rollouts=rollouts, controller=controller)
        lab = self.lab(chosen, self.out, console, task=self.task)
        if self.until_clear:
            return self._until_clear(lab, console)
        found = api.evaluate_runs(
            lab,
            self.runs,
            steering=self.steering or "",
            videos=self.videos,
            signals=self.signals,
        )
        lines = [
            f"{arm}: {100 * r.rate:.1f} % ({100 * r.low:.1f} to {100 * r.high:.1f}), "
            f"{r.n_seeds} seeds"
            for arm, r in found.rates.items()
        ]
        content: dict[str, object] = {"rates": {a: asdict(r) for a, r in found.rates.items()}}
        if found.comparison is not None:
            content["verdict"] = found.comparison.verdict()
            lines.append(found.comparison.verdict())
        content["times"] = {arm: asdict(time) for arm, time in found.times.items()}
        lines += _times(found.times)
        if self.videos:
            content["videos"] = [str(video) for video in found.videos]
            lines += [f"Video: {video}" for video in found.videos]
        console.result("\n".join(lines), content)

    def _until_clear(self, lab: Lab, console: Console) -> None:
        from outtakes import api

        if self.videos or self.signals:
            raise ConfigError("videos or signals until clear", remedy="evaluate again for them")
        if not 0 <= self.margin <= 1:
            raise ConfigError(f"--margin {self.margin:g}", remedy="choose it in [0, 1]")
        found, times = api.evaluate_until_clear(
            lab, self.runs, margin=self.margin, steering=self.steering or ""
        )
        baseline, treatment = times
        opening = "" if found.clear(self.margin) else "Not clear yet: "
        verdict = (
            f"{opening}{treatment} succeeds {100 * found.difference:+.1f} points more often than "
            f"{baseline} (95 % confidence sequence {100 * found.low:+.1f} to "
            f"{100 * found.high:+.1f}, p = {found.p:.3f} however often one looks, "
            f"{found.rounds} initial states of at most {lab.recipe.rollouts}; of these trained "
            "policies, not of other training seeds)."
        )
        console.result(
            "\n".join([verdict, *_times(times)]),
            {
                **asdict(found),
                "clear": found.clear(self.margin),
                "verdict": verdict,
                "times": {arm: asdict(time) for arm, time in times.items()},
            },
        )


def _times(times: Mapping[str, TimeToSuccess]) -> list[str]:
    """Time to success of every arm, in words."""
    lines = []
    for arm, time in times.items():
        median = "no success" if time.median is None else f"{time.median:.0f} steps to success"
        line = f"{arm}: {median} (median), {time.restricted:.0f} on average with failures"
        if d := time.difference:
            line += f", {d.difference:+.0f} ({d.low:+.0f} to {d.high:+.0f})"
        lines.append(line)
    return lines

"""Verbs that are one step of the pipeline: collect, train, rank, select, evaluate."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from outtakes.cli.reads import Reads, Trains
from outtakes.cli.verb import Verb, check_given, given
from outtakes.console import Console

if TYPE_CHECKING:
    from outtakes.selection.scores import FailureScore

Keep = Literal["low", "mid", "high", "random", "below"]


@dataclass
class Train(Trains):
    """Train a policy on a dataset, one run a seed."""

    out: Path
    """Folder for `runs/<policy>/seed-<n>/`; an interrupted run goes on."""
    policy: Literal["act", "act-pb"] = "act-pb"
    """ACT, or ACT with parametric bias and the KL term."""
    select: Path | None = None
    """selection.json naming the episodes to train on; all of them when not given."""
    wandb: bool = False
    """Also log to Weights & Biases."""

    def run(self, console: Console) -> None:
        """Train every seed and say where the runs are."""
        from outtakes.overview import Overview
        from outtakes.stages import check_success, load_selection, train_seeds

        lab, demos, _ = self.read(self.out, console)
        if self.policy == "act-pb":
            check_success(demos)
        episodes = [int(e) for e in demos.episode_indices]
        if self.select is not None:
            episodes = load_selection(self.select, demos).kept
        runs = train_seeds(lab, demos, self.policy, episodes, wandb=self.wandb)
        overview = Overview(demos, lab.recipe)
        console.result(
            "\n".join(f"Run: {run}" for run in runs) + overview.left_out(),
            {
                "settings": overview.facts(),
                "runs": [str(run) for run in runs],
            },
        )


@dataclass
class Rank(Reads):
    """Rank the failures by the attention of trained runs."""

    runs: Annotated[Positional[tuple[Path, ...]], arg(metavar="RUN [RUN ...]")]
    """Run folders of act-pb, one a seed."""
    out: Path = Path("scores.json")
    """File to write."""
    dataset: str | None = None
    """The dataset, when it is no longer where the runs were trained on it."""
    pairs: int | None = None
    """Estimate each score from about so many (time step, success) pairs drawn at random, with a
    standard error; exact, from every pair, when not given. For datasets too large for all pairs."""

    def run(self, console: Console) -> None:
        """Rank and print the failures, nearest first."""
        from outtakes.data.hub import local_folder
        from outtakes.recipes import recipe
        from outtakes.selection.pairs import check_count
        from outtakes.stages import rank, read_demos
        from outtakes.training.checkpoint import Checkpoint

        check_given(self.runs, "run folder")
        if self.pairs is not None:
            check_count(self.pairs)
        trained_on = Path(Checkpoint.load(self.runs[0]).dataset)
        dataset = trained_on if self.dataset is None else local_folder(self.dataset)
        lab = self.reading_lab(recipe(self.recipe), self.out.absolute().parent, console)
        scores = rank(lab, read_demos(lab, dataset), self.runs, path=self.out, pairs=self.pairs)
        heading = " episode  K̄ (nats), nearest first"
        if self.pairs is not None:
            heading += ", ± standard error of the sample"
        lines = [heading, *(_ranked_line(failure) for failure in scores.ranked())]
        agreement = "" if scores.kendall_tau is None else f"\nKendall τ {scores.kendall_tau:.2f}"
        console.result(
            "\n".join(lines) + agreement,
            {
                "scores": str(self.out),
                "ranked": [f.episode for f in scores.ranked()],
                "kendall_tau": scores.kendall_tau,
            },
        )


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
        selection = select(
            scores,
            scores.successes,
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
    neighbours: int | None = None
    """Successes whose PBs are averaged: 1 as in the paper, 0 for all; the recipe's when not
    given."""
    videos: int = 0
    """Initial states to film every run from, as mp4."""

    def run(self, console: Console) -> None:
        """Evaluate and print the success rates."""
        from outtakes.exhibition import film_runs
        from outtakes.recipes import on_task, recipe
        from outtakes.stages import evaluate_runs

        check_given(self.runs, "run folder")
        chosen = on_task(recipe(self.recipe), self.task)
        chosen = replace(
            chosen,
            rollouts=given(self.rollouts, chosen.rollouts),
            controller=replace(
                chosen.controller,
                ensemble=self.ensemble,
                neighbours=given(self.neighbours, chosen.controller.neighbours),
            ),
        )
        lab = self.lab(chosen, self.out, console)
        lines, content = evaluate_runs(lab, self.runs)
        if self.videos:
            videos = [str(video) for video in film_runs(lab, self.runs, self.videos)]
            lines += [f"Video: {video}" for video in videos]
            content["videos"] = videos
        console.result("\n".join(lines), content)

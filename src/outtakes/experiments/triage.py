"""Triage without a simulator: does adding failures lower the action error on unseen successes?

Rollouts settle whether failures help. Where there is no simulator, cross-validated action error
is the best that data alone can say, and it is a proxy: a policy can imitate held-out successes
better and still succeed less often.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from outtakes.data.demo import DemoSet, Outcome
from outtakes.errors import ConfigError
from outtakes.experiments.advice import chosen_option, everything
from outtakes.experiments.arm import Arm, bias_arm, policy_arm, without_failures
from outtakes.experiments.datasets import check_both_outcomes
from outtakes.experiments.folder import ACTION_ERRORS, SCORES, SELECTION
from outtakes.experiments.held_out import BASELINE, FOLDS, ActionErrors, folds
from outtakes.experiments.lab import Lab
from outtakes.experiments.pipeline import jobs_of, run_jobs
from outtakes.experiments.runs import Job, errors_of
from outtakes.policy.checkpoint import Checkpoint
from outtakes.policy.eyes.looking import look
from outtakes.ranking.combination import Part, rank_by
from outtakes.ranking.measure import Needs
from outtakes.ranking.scores import Scores
from outtakes.selection.select import Selection, not_so_many, select

WAYS = (BASELINE, "selected", "random", "all")
"""What is cross-validated; see `arms_of`."""


def triage(
    lab: Lab,
    demos: DemoSet,
    rankers: Sequence[Part],
    *,
    keep: str,
    count: int | None,
    threshold: float | None = None,
    policy: str = "act-pb",
) -> Selection:
    """Train, rank and select on the user's own data, and measure the proxy with such a policy.

    Leaves `scores.json`, `selection.json`, `action_error.json` and the runs in `lab.out`.

    Raises:
        ConfigError: when no failure is to be kept, or more than there are.
        DatasetError: when an outcome is missing, or there are too few successes to hold some out.
    """
    check_both_outcomes(demos)
    successes, failures = demos.episodes(Outcome.SUCCESS), demos.episodes(Outcome.FAILURE)
    if count is not None and not 0 < count <= len(failures):
        raise not_so_many(count, len(failures), demos.name)
    if (keep == "below") != (threshold is not None):
        raise ConfigError(
            "--keep below and --threshold belong together",
            remedy="give both, or neither",
        )
    parts = folds(demos)
    if eyes := lab.recipe.policy.eyes:
        demos = look(demos, eyes, device=lab.device, progress=lab.progress)
    jobs = ranking_jobs(lab, demos, rankers, policy)
    total = len(jobs) + validating_runs(lab)
    if jobs:
        run_jobs(_on_one_clock(lab, 0, total), jobs, stage="train")
    with lab.timed("rank"):
        runs = [Checkpoint.load(job.run) for job in jobs]
        lab.say(len(jobs), total, "rank")
        scores = rank_by(rankers, runs, demos, device=lab.device)
        scores.save(lab.out / SCORES)
    selection = select(scores, successes, keep=keep, count=count, threshold=threshold)
    if not set(selection.kept).intersection(failures):
        means = sorted(failure.mean for failure in scores.failures)
        raise ConfigError(
            f"no failure is at {threshold:g} {scores.measure.unit} or below; they range from "
            f"{means[0]:.4g} to {means[-1]:.4g}",
            where=lab.out / SCORES,
            remedy="choose a higher --threshold",
        )
    selection.save(lab.out / SELECTION)
    later = _on_one_clock(lab, len(jobs), total)
    errors = cross_validate(later, demos, scores, selection, parts, policy)
    errors.save(lab.out / ACTION_ERRORS)
    return selection


def _on_one_clock(lab: Lab, before: int, total: int) -> Lab:
    """The experiment, whose progress counts on from `before` towards a total of all stages."""
    progress = lab.progress
    if progress is None:
        return lab
    return replace(lab, progress=lambda done, _, what: progress(before + done, total, what))


def validating_runs(lab: Lab) -> int:
    """Runs that cross-validation takes."""
    return FOLDS * len(WAYS) * len(lab.recipe.seeds)


def ranking_jobs(
    lab: Lab, demos: DemoSet, rankers: Sequence[Part], policy: str = "act-pb"
) -> list[Job]:
    """What must be trained for these rankers; each seed holds another part of the successes out."""
    seeds = lab.recipe.seeds
    jobs = jobs_of(lab, _ranking_arms(lab, demos, rankers, policy), seeds, demos)
    if any(part.ranker.measure.needs is Needs.HELD_OUT for part in rankers):
        parts = folds(demos)
        for place, seed in enumerate(seeds):
            i = place % FOLDS
            jobs += jobs_of(lab, [_held_out_arm(lab, demos, policy, i, parts[i])], [seed], demos)
    return jobs


def _alone(lab: Lab, policy: str, more: str, label: str, successes: Sequence[int]) -> Arm:
    """Of successes alone: plain ACT where the policy is some ACT, else of its own kind."""
    kind = "act" if policy == "act-pb" else without_failures(policy)
    name = "ACT" if kind == "act" else kind
    return policy_arm(lab.recipe, kind, f"{kind}-s{more}", f"{name}, {label}", successes)


def _held_out_arm(lab: Lab, demos: DemoSet, policy: str, i: int, held_out: Sequence[int]) -> Arm:
    seen = [e for e in demos.episodes(Outcome.SUCCESS) if e not in held_out]
    return _alone(lab, policy, f"-without-{i}", f"successes without fold {i}", seen)


def _ranking_arms(lab: Lab, demos: DemoSet, rankers: Sequence[Part], policy: str) -> list[Arm]:
    """What must be trained alike with every seed."""
    successes, recipe = demos.episodes(Outcome.SUCCESS), lab.recipe
    both = [*successes, *demos.episodes(Outcome.FAILURE)]
    arms = {
        Needs.SUCCESSES: _alone(lab, policy, "", "successes only", successes),
        Needs.BIAS: bias_arm(recipe, "pb-kl-all", "PB + KL, all failures", both),
    }
    needed = {part.ranker.measure.needs for part in rankers}
    return [arm for needs, arm in arms.items() if needs in needed]


def arms_of(
    demos: DemoSet, scores: Scores, selection: Selection
) -> dict[str, tuple[str, list[int]]]:
    """Arm -> (label, failures added to the successes)."""
    failures = demos.episodes(Outcome.FAILURE)
    chosen = [e for e in selection.kept if e in failures]
    successes = demos.episodes(Outcome.SUCCESS)
    at_random = select(scores, successes, keep="random", count=len(chosen)).kept if chosen else []
    return {
        BASELINE: ("Successes alone", []),
        "selected": (f"+ {chosen_option(selection, failures).what}", chosen),
        "random": (f"+ {len(chosen)} random failures", [e for e in at_random if e in failures]),
        "all": (f"+ {everything(failures).what}", failures),
    }


def cross_validate(
    lab: Lab,
    demos: DemoSet,
    scores: Scores,
    selection: Selection,
    parts: Sequence[Sequence[int]],
    policy: str = "act-pb",
) -> ActionErrors:
    """Action error of a policy on held-out successes for every arm, the same parts in each."""
    successes, seeds = sorted(e for part in parts for e in part), lab.recipe.seeds
    arms = arms_of(demos, scores, selection)
    jobs = {
        (name, seed, i): _fold_job(
            lab,
            demos,
            policy,
            f"fold-{i}/{name}",
            f"{label}, part {i + 1} of {FOLDS} held out",
            fold,
            failures,
            seed,
        )
        for seed in seeds
        for i, fold in enumerate(parts)
        for name, (label, failures) in arms.items()
    }
    run_jobs(lab, list(jobs.values()), stage="cross-validate")
    errors = {name: np.zeros((len(seeds), len(successes))) for name in arms}
    for (name, seed, i), job in jobs.items():
        (found,) = errors_of(job).values()
        (values,) = found.by_steering.values()
        errors[name][seeds.index(seed), [successes.index(e) for e in parts[i]]] = values
    return ActionErrors.of(errors, policy)


def _fold_job(
    lab: Lab,
    demos: DemoSet,
    policy: str,
    name: str,
    label: str,
    held_out: Sequence[int],
    failures: Sequence[int],
    seed: int,
) -> Job:
    """Training on some failures and on the successes that are not held out."""
    seen = [e for e in demos.episodes(Outcome.SUCCESS) if e not in held_out]
    kind = policy if failures else without_failures(policy)
    arm = policy_arm(lab.recipe, kind, name, label, [*seen, *failures])
    steered = replace(arm, steerings=(arm.policy.steering(lab.recipe.controller.steering),))
    (job,) = jobs_of(lab, [steered], [seed], demos)
    return replace(job, held_out=tuple(held_out))

"""Triage without a simulator: does adding failures lower the action error on unseen successes?

Rollouts settle whether failures help. Where there is no simulator, cross-validated action error
is the best that data alone can say, and it is a proxy: a policy can imitate held-out successes
better and still succeed less often.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from outtakes.arms import Arm, Job, run_all, train_jobs
from outtakes.data.demo import Demo, DemoSet, Outcome
from outtakes.data.normalize import Moments
from outtakes.errors import ArtifactError, ConfigError, DatasetError
from outtakes.evaluation.statistics import Difference, holm, mean_difference
from outtakes.files import read_json, write_json
from outtakes.policy.agent import Agent
from outtakes.selection.scores import Scores
from outtakes.selection.select import Selection, select
from outtakes.stages import Lab, check_both_outcomes, rank

FOLDS = 3
"""Parts the successes are cut into; each is held out once."""
BASELINE = "successes"
_KIND, _VERSION = "action-error", 1


@dataclass(frozen=True)
class ActionErrors:
    """Action error of every arm on held-out successes: the proxy for rollouts."""

    errors: Mapping[str, np.ndarray]
    """Arm -> (seeds, successes) mean absolute error of the predicted chunk, in standard
    deviations of the successes' actions."""
    means: Mapping[str, Difference]
    """Arm -> its mean error with its interval (the difference from zero)."""
    differences: Mapping[str, Difference]
    """Arm -> its error minus that of successes only, paired by seed and held-out success."""
    adjusted_p: Mapping[str, float]
    """Arm -> p of its difference, adjusted for the number of arms (Holm)."""

    @staticmethod
    def of(errors: Mapping[str, np.ndarray]) -> ActionErrors:
        """Compare every arm's errors with those of successes only."""
        others = [arm for arm in errors if arm != BASELINE]
        differences = {arm: _difference(errors[arm], errors[BASELINE]) for arm in others}
        means = {arm: _difference(e, np.zeros_like(e)) for arm, e in errors.items()}
        adjusted = holm([differences[arm].p for arm in others])
        return ActionErrors(errors, means, differences, dict(zip(others, adjusted, strict=True)))

    def save(self, path: Path) -> None:
        """Write `action_error.json`."""
        content = {
            "baseline": BASELINE,
            "errors": {arm: values.tolist() for arm, values in self.errors.items()},
        }
        write_json(path, _KIND, _VERSION, content)

    @staticmethod
    def load(path: Path) -> ActionErrors:
        """Read `action_error.json`.

        Raises:
            ArtifactError: when it is missing, damaged or of another version.
        """
        content = read_json(path, _KIND, _VERSION)
        try:
            errors = {arm: np.array(e, np.float64) for arm, e in content["errors"].items()}
            return ActionErrors.of(errors)
        except (KeyError, TypeError, ValueError) as error:
            raise ArtifactError(
                f"the action errors lack or garble {error}", where=path, remedy="triage again"
            ) from error


def _difference(values: np.ndarray, baseline: np.ndarray) -> Difference:
    return mean_difference(values, baseline, rng=np.random.default_rng(0))


def triage(lab: Lab, demos: DemoSet, *, keep: str, count: int) -> Selection:
    """Train, rank and select on the user's own data, and measure the proxy.

    Leaves `scores.json`, `selection.json`, `action_error.json` and the runs in `lab.out`.

    Raises:
        ConfigError: when no failure is to be kept.
        DatasetError: when an outcome is missing, or there are too few successes to hold some out.
    """
    if count < 1:
        raise ConfigError(f"{count} failures to keep", remedy="choose --count 1 or more")
    check_both_outcomes(demos)
    successes, failures = demos.episodes(Outcome.SUCCESS), demos.episodes(Outcome.FAILURE)
    if len(successes) < FOLDS:
        raise DatasetError(
            f"{len(successes)} successes are too few to hold some out",
            where=demos.name,
            remedy=f"record at least {FOLDS} successes",
        )
    everything = Arm("pb-kl-all", "PB + KL, all failures", "pb", [*successes, *failures])
    seeds = lab.recipe.seeds
    jobs = [_job(lab, demos, everything, seed) for seed in seeds]
    with lab.timed("train"):
        run_all(jobs, workers=lab.workers, progress=lab.progress)
    with lab.timed("rank"):
        scores = rank(lab, demos, [job.run for job in jobs])
    selection = select(scores, successes, keep=keep, count=min(count, len(failures)))
    selection.save(lab.out / "selection.json")
    with lab.timed("cross-validate"):
        errors = cross_validate(lab, demos, scores, selection)
    errors.save(lab.out / "action_error.json")
    return selection


def arms_of(
    demos: DemoSet, scores: Scores, selection: Selection
) -> dict[str, tuple[str, list[int]]]:
    """Arm -> (label, failures added to the successes)."""
    failures = demos.episodes(Outcome.FAILURE)
    chosen = [e for e in selection.kept if e in failures]
    successes = demos.episodes(Outcome.SUCCESS)
    at_random = select(scores, successes, keep="random", count=len(chosen)).kept if chosen else []
    return {
        BASELINE: ("Successes only", []),
        "selected": (f"+ {len(chosen)} selected failures ({selection.rule})", chosen),
        "random": (f"+ {len(chosen)} random failures", [e for e in at_random if e in failures]),
        "all": (f"+ all {len(failures)} failures", failures),
    }


def cross_validate(lab: Lab, demos: DemoSet, scores: Scores, selection: Selection) -> ActionErrors:
    """Action error on held-out successes for every arm, the same folds in each."""
    successes, seeds = demos.episodes(Outcome.SUCCESS), lab.recipe.seeds
    arms = arms_of(demos, scores, selection)
    order = np.random.default_rng(0).permutation(successes)
    folds = [sorted(int(e) for e in order[i::FOLDS]) for i in range(FOLDS)]
    jobs, held_out = [], []
    for seed in seeds:
        for i, fold in enumerate(folds):
            for name, (label, failures) in arms.items():
                episodes = [e for e in successes if e not in fold] + failures
                arm = Arm(f"fold-{i}/{name}", label, "pb", episodes)
                jobs.append(_job(lab, demos, arm, seed))
                held_out.append((name, seed, fold))
    run_all(jobs, workers=lab.workers, progress=lab.progress)
    # The same floor as in training, so that a constant action dimension counts for nothing.
    actions = demos.action[demos.subset(successes).rows()]
    scale = Moments.of(actions).deviation.numpy()
    errors = {name: np.zeros((len(seeds), len(successes))) for name in arms}
    for job, (name, seed, fold) in zip(jobs, held_out, strict=True):
        (checkpoint,) = train_jobs([job])
        agent = checkpoint.agent(lab.device)
        for demo in demos.subset(fold):
            column = successes.index(demo.episode_index)
            errors[name][seeds.index(seed), column] = action_error(
                agent, demo, scale, lab.recipe.controller.neighbours
            )
    return ActionErrors.of(errors)


def action_error(agent: Agent, demo: Demo, scale: np.ndarray, neighbours: int) -> float:
    """Mean absolute error of the chunks predicted along one demonstration.

    The PB is the one its first observation would be steered by at run time.

    Args:
        agent: the trained policy.
        demo: a demonstration it has not seen.
        scale: (A,) what one unit of error is in each action dimension.
        neighbours: successes whose PBs are averaged, see `ControllerConfig`.
    """
    raw = {name: np.array(array) for name, array in demo.observations(agent.cameras).items()}
    first = {name: np.repeat(array[:1], len(demo), axis=0) for name, array in raw.items()}
    predicted = agent.predict(raw, agent.begin(first, neighbours))
    steps = np.arange(len(demo))[:, None] + np.arange(agent.chunk)
    target = demo.action[np.minimum(steps, len(demo) - 1)]
    error = np.abs((predicted - target) / scale).mean(axis=2)
    return float(error[steps < len(demo)].mean())


def _job(lab: Lab, demos: DemoSet, arm: Arm, seed: int) -> Job:
    used = {camera: demos.images[camera] for camera in lab.recipe.act.cameras}
    slim = replace(demos, images=used)
    return Job(arm, seed, slim, lab.recipe, lab.out, lab.device, roll_out=False)

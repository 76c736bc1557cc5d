"""AFIL's loop: learn from successes, fail, learn what to stay away from, and try again.

Each round has a folder of its own with its dataset, its runs, its log and its table; what stands
there is not done again.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal, cast, get_args

import numpy as np

from outtakes.data.demo import DemoSet, Outcome
from outtakes.data.reading import Reading
from outtakes.errors import ArtifactError, ConfigError, UnknownName
from outtakes.evaluation.comparison import Comparison, compare
from outtakes.evaluation.rollouts import treatment
from outtakes.experiments.arm import Arm, policy_arm
from outtakes.experiments.datasets import check_both_outcomes, check_success, read_demos
from outtakes.experiments.folder import COMPARISON
from outtakes.experiments.lab import Lab
from outtakes.experiments.own_failures import runs_of, write_with_own_failures
from outtakes.experiments.pipeline import jobs_of
from outtakes.experiments.runs import train
from outtakes.experiments.study_log import run_recorded
from outtakes.experiments.tables import table
from outtakes.experiments.ways import finish_arm, flow_arms, guided_arms
from outtakes.files import read_json, write_json
from outtakes.policy.checkpoint import Checkpoint
from outtakes.policy.flow.flow import FlowConfig
from outtakes.policy.flow.guidance import Guidance

Failures = Literal["own", "demonstrated", "both"]
"""Failures to stay away from: those the policy makes itself, the dataset's, or both."""
LATENCY, TABLE = "latency.json", "tables.md"
_PLAN, _KIND = "plan.json", "afil-plan"
_TIMED = 20
"""Chunks whose median time is taken."""


@dataclass(frozen=True)
class AfilPlan:
    """What to do in how many rounds.

    Raises:
        ConfigError: when there is no round, no failure or no α, or more rounds than failures of
            its own can fill.
        UnknownName: when the failures are of no known origin.
    """

    failures: Failures = "own"
    count: int = 20
    """Failures of its own to find in each round."""
    rounds: int = 1
    alphas: tuple[float, ...] = (1.0,)
    """Strengths of the guidance; the first is the one in question, and the next round's."""

    def __post_init__(self) -> None:
        if self.failures not in get_args(Failures):
            raise UnknownName("origin of failures", self.failures, get_args(Failures))
        if min(self.count, self.rounds, len(self.alphas)) < 1:
            raise ConfigError(
                f"{self.rounds} rounds of {self.count} failures and {len(self.alphas)} alphas",
                remedy="give at least one of each",
            )
        if self.failures == "demonstrated" and self.rounds > 1:
            raise ConfigError(
                f"{self.rounds} rounds without failures of its own", remedy="do one round"
            )

    @property
    def steering(self) -> str:
        """The guidance in question."""
        return str(Guidance("adaptive", self.alphas[0]))


def guided_rounds(lab: Lab, demos: DemoSet, plan: AfilPlan) -> list[Comparison]:
    """Do every round; leaves `round-<n>/` with `comparison.json`, `tables.md` and `latency.json`.

    Args:
        lab: the experiment, fitted to the dataset.
        demos: successes, and failures where the plan wants demonstrated ones.
        plan: what to do.

    Returns:
        The comparison of each round: guidance against the flow policy of the successes alone.

    Raises:
        ArtifactError: when the folder was begun with another plan or dataset.
        ConfigError: when the policy looks at pictures or hardly ever fails, or there is one rollout
            to compare by.
        DatasetError: when an outcome is missing.
    """
    _check(lab, demos, plan)
    chosen = demos.episodes(Outcome.SUCCESS)
    if plan.failures != "own":
        chosen = [*chosen, *demos.episodes(Outcome.FAILURE)]
    known, actors, steering = demos.subset(sorted(chosen)), _first_actors(lab, demos), ""
    found = []
    for number in range(plan.rounds):
        own = replace(lab, out=lab.out / f"round-{number + 1}")
        if plan.failures != "demonstrated":
            own = replace(own, reading=Reading())
            root = own.out / "dataset"
            if not root.exists():
                write_with_own_failures(
                    own,
                    root,
                    known,
                    actors,
                    steering=steering,
                    count=plan.count,
                    round_number=number,
                )
            known = read_demos(own, root)
        found.append(_round(own, known, plan))
        actors, steering = runs_of(own, "afil"), plan.steering
    return found


def _check(lab: Lab, demos: DemoSet, plan: AfilPlan) -> None:
    (check_success if plan.failures == "own" else check_both_outcomes)(demos)
    if lab.recipe.policy.views:
        raise ConfigError(
            "failures of its own have no pictures, and the policy looks",
            where=demos.name,
            remedy="give a dataset with object poses, and leave the cameras out",
        )
    if lab.recipe.rollouts < 2:
        raise ConfigError("1 rollout to compare by", remedy="ask for at least 2")
    path, own = lab.out / _PLAN, {**asdict(plan), "dataset": demos.content_hash}
    own["alphas"] = list(plan.alphas)
    if not path.exists():
        write_json(path, _KIND, 1, own)
    begun = read_json(path, _KIND, 1)
    # More rounds than were asked for at first go on where those ended.
    other = [name for name, value in own.items() if name != "rounds" and begun[name] != value]
    if other:
        raise ArtifactError(
            f"begun with another {' and '.join(other)}",
            where=path,
            remedy="give another --out, or the same settings and dataset",
        )


def _first_actors(lab: Lab, demos: DemoSet) -> dict[int, Path]:
    """The flow policy of the successes alone, trained with every seed."""
    alone = _alone(lab, demos.episodes(Outcome.SUCCESS))
    train(jobs_of(lab, [alone], lab.recipe.seeds, demos))
    return runs_of(lab, alone.name)


def _alone(lab: Lab, successes: Sequence[int]) -> Arm:
    label = f"Flow, {len(successes)} successes"
    return policy_arm(lab.recipe, "flow", "flow-s", label, successes)


def round_arms(lab: Lab, demos: DemoSet, alphas: Sequence[float]) -> list[Arm]:
    """Guidance away from failures, and everything that it must beat."""
    successes, failures = demos.episodes(Outcome.SUCCESS), demos.episodes(Outcome.FAILURE)
    alone, everything, told, *_ = flow_arms(lab.recipe, successes, failures)
    config = cast(FlowConfig, alone.policy)
    doubled = replace(
        alone,
        name="flow-s-twice",
        label=f"{alone.label}, twice the sampling steps",
        policy=replace(config, sampling_steps=2 * config.sampling_steps),
    )
    finished = finish_arm(everything, "flow-finish", f"{everything.label}, then the successes")
    guided = guided_arms(lab.recipe, successes, failures, alphas)
    return [alone, doubled, everything, finished, told, *guided]


def _round(lab: Lab, demos: DemoSet, plan: AfilPlan) -> Comparison:
    """Train, roll out and compare."""
    arms = round_arms(lab, demos, plan.alphas)
    jobs = jobs_of(lab, arms, lab.recipe.seeds, demos, lab.recipe.evaluation)
    outcomes = run_recorded(lab, jobs).outcomes()
    found = compare(outcomes, baseline="flow-s", treatment=treatment("afil", plan.steering))
    found.save(lab.out / COMPARISON)
    title = f"{lab.out.name.replace('-', ' ').capitalize()}, failures: {plan.failures}"
    (lab.out / TABLE).write_text(table(title, found, arms, {}) + "\n", encoding="utf-8")
    if not (lab.out / LATENCY).exists():
        write_json(lab.out / LATENCY, "latency", 1, {"milliseconds": _latencies(lab, demos, arms)})
    return found


def _latencies(lab: Lab, demos: DemoSet, arms: Sequence[Arm]) -> dict[str, float]:
    """Treatment -> milliseconds that an action takes: the median chunk's, shared out over the steps
    that are executed of it."""
    first = next(iter(demos))
    found = {}
    for arm in arms:
        agent = Checkpoint.load(runs_of(lab, arm.name)[lab.recipe.seeds[0]]).agent(lab.device)
        raw = {n: np.array(values[:1]) for n, values in first.observations(agent.cameras).items()}
        for steering, name in arm.treatments.items():
            begun, times = agent.begin(raw, steering), []
            for _ in range(_TIMED):
                started = time.perf_counter()
                agent.predict(raw, begun)
                times.append(time.perf_counter() - started)
            executed = min(lab.recipe.controller.replan, agent.chunk)
            found[name] = round(1000 * float(np.median(times)) / executed, 3)
    return found

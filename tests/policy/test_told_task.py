"""A policy that was trained on several tasks is told which one to do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from outtakes.data.batches import Sampler
from outtakes.data.demo import DemoSet
from outtakes.errors import CheckpointError, ConfigError
from outtakes.experiments.run_folders import check_fits
from outtakes.policy.act.act import ActConfig
from outtakes.policy.checkpoint import Checkpoint
from outtakes.policy.flow.flow import FlowConfig
from outtakes.policy.policy import PolicyConfig
from outtakes.sim.environment import make_environment
from outtakes.training.trainer import train_together
from tests.demos import TASKS, make_demos, small_act, small_train, train_small, two_tasks


@pytest.fixture(scope="module")
def demos() -> DemoSet:
    return two_tasks()


@pytest.fixture(scope="module")
def run(demos: DemoSet, tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    folder = tmp_path_factory.mktemp("run")
    train_small(folder, demos, steps=10, batch_size=12)
    return Checkpoint.load(folder)


def seen(demos: DemoSet, task: str, count: int = 3) -> dict[str, np.ndarray]:
    first = {name: array[:1] for name, array in demos[0].observations(()).items()}
    raw = {name: np.repeat(array, count, axis=0) for name, array in first.items()}
    return {**raw, "task": np.full(count, task)}


def test_what_it_does_depends_on_the_task(run: Checkpoint, demos: DemoSet):
    assert (run.tasks, run.sizes.tasks) == (TASKS, 2)
    agent = run.agent()
    chunks = []
    for task in TASKS:
        raw = seen(demos, task)
        chunks.append(agent.predict(raw, agent.begin(raw, "zero")))
    first, second = chunks
    assert not np.allclose(first, second)


def test_only_successes_of_the_task_steer_it(run: Checkpoint, demos: DemoSet):
    agent, task_of = run.agent(), demos.task_of()
    both = [seen(demos, task) for task in TASKS]
    raw = {name: np.concatenate([own[name] for own in both]) for name in both[0]}
    for steering in ("nearest", "nearest-2", "mean"):
        steered = agent.begin(raw, steering)
        told = [task_of[int(episode)] for episode in steered.episodes]
        assert told == raw["task"].tolist(), steering
        assert steered.condition is not None
        assert not torch.equal(steered.condition[0], steered.condition[3])


@pytest.mark.parametrize("task", ["close the drawer", None])
def test_a_task_that_it_does_not_know_is_refused(run: Checkpoint, demos: DemoSet, task):
    raw = seen(demos, str(task))
    if task is None:
        del raw["task"]
    with pytest.raises(ConfigError, match=r"none that the policy was trained on.*open the drawer"):
        run.agent().begin(raw)


def test_one_task_changes_nothing(tmp_path):
    silent = make_demos()
    told = replace(silent, tasks=["lift the cube"] * len(silent))
    first, second = (train_small(tmp_path / n, d) for n, d in (("a", silent), ("b", told)))
    assert second.tasks == () and set(first.tensors) == set(second.tensors)
    assert all(torch.equal(first.tensors[name], second.tensors[name]) for name in first.tensors)


@pytest.mark.parametrize(
    "policy",
    [
        small_act(condition="none"),
        small_act(condition="label"),
        FlowConfig.like(small_act()),
    ],
    ids=["act", "label", "flow"],
)
def test_every_family_is_told_and_seeds_train_as_one_program(
    policy: PolicyConfig, demos: DemoSet, tmp_path
):
    runs = {seed: tmp_path / str(seed) for seed in (0, 1)}
    config = small_train(steps=3)
    checkpoints = train_together(demos, runs, policy=policy, config=config)
    for run in checkpoints:
        assert run.tasks == TASKS
        agent = run.agent()
        chunks = [
            agent.predict(
                seen(demos, task),
                agent.begin(seen(demos, task)),
                torch.Generator().manual_seed(0),
            )
            for task in TASKS
        ]
        first, second = chunks
        assert not np.allclose(first, second)


def test_attention_is_driven_apart_within_a_task(demos: DemoSet):
    sampler = Sampler(demos, seed=0, batch_size=12)
    for step in range(20):
        drawn = sampler.draw(step)
        for own, other in zip(drawn.demo, drawn.other_demo, strict=True):
            assert demos.tasks[own] == demos.tasks[other]
            assert demos.successes[own] != demos.successes[other]


def test_what_it_learnt_of_some_demonstrations_is_their_rows(run: Checkpoint, demos: DemoSet):
    assert isinstance(run.config, ActConfig)
    own = demos.episode_indices[6:].tolist()
    part = run.of_demonstrations(own)
    assert list(part.episodes) == own and part.sizes.demos == 6
    assert torch.equal(part.weights()["bias.table"], run.weights()["bias.table"][6:])
    raw = seen(demos, TASKS[1])
    whole, alone = run.agent().begin(raw), part.agent().begin(raw)
    assert whole.condition is not None and alone.condition is not None
    assert torch.equal(whole.condition, alone.condition)
    assert whole.episodes.tolist() == alone.episodes.tolist()


def test_a_simulated_task_that_it_was_not_trained_on_is_refused(run: Checkpoint):
    with pytest.raises(CheckpointError, match=r"lift asks for .*trained on"):
        check_fits(run, Path("run"), "lift")
    # With the task known, it is the sizes of the made-up observations that do not fit.
    told = replace(run, tasks=(*run.tasks, make_environment("lift").task))
    with pytest.raises(CheckpointError, match="state and environment state of"):
        check_fits(told, Path("run"), "lift")

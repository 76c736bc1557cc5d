"""Gradient influence, against the training step that it foretells."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from outtakes.data.batches import DeviceDemos, Samples
from outtakes.data.demo import DemoSet, Outcome
from outtakes.errors import CheckpointError
from outtakes.policy.checkpoint import Checkpoint
from outtakes.ranking.influence import InfluenceRanker
from tests.demos import make_demos, small_act, train_small

ACT = small_act(chunk=1, condition="none")


@pytest.fixture(scope="module")
def demos() -> DemoSet:
    """Five successes, and four failures that do the opposite, but for the first."""
    made = make_demos(5, 4, length=(20, 30))
    action, i = made.action.copy(), int(np.flatnonzero(~made.successes)[0])
    rows = slice(int(made.starts[i]), int(made.starts[i] + made.lengths[i]))
    action[rows] *= -1
    return replace(made, action=action)


@pytest.fixture(scope="module")
def run(demos, tmp_path_factory) -> Checkpoint:
    """Trained on four of the successes."""
    seen = demos.subset(demos.episodes(Outcome.SUCCESS)[:4])
    return train_small(tmp_path_factory.mktemp("run"), seen, policy=ACT, steps=150, batch_size=16)


def loss(policy, run: Checkpoint, demos: DemoSet, episode: int) -> torch.Tensor:
    """Of every frame of one demonstration."""
    data = DeviceDemos(demos, run.normalizer(), (), torch.device("cpu"))
    for name in ("state", "environment_state", "action"):
        setattr(data, name, getattr(data, name).double())
    i = list(demos.episode_indices).index(episode)
    times = np.arange(demos.lengths[i])
    own = np.full(len(times), i)
    return policy.losses(data.batch(Samples(own, times, own), policy.config.chunk)).total


def test_it_foretells_what_a_step_on_a_failure_does_to_the_held_out_success(demos, run):
    found = InfluenceRanker(frames=99).score(run, demos)
    held_out, rate = demos.episodes(Outcome.SUCCESS)[4], 1e-5
    policy = run.policy().double().eval()
    parameters = list(policy.parameters())

    def held_out_loss() -> torch.Tensor:
        return loss(policy, run, demos, held_out)

    def gradient(value: torch.Tensor) -> list[torch.Tensor]:
        return list(torch.autograd.grad(value, parameters, materialize_grads=True))

    norm = torch.stack([g.square().sum() for g in gradient(held_out_loss())]).sum().sqrt()
    for episode, value in zip(found.failures, found.values, strict=True):
        step = gradient(loss(policy, run, demos, episode))
        after = []
        with torch.no_grad():
            for way in (-1, 2):
                for parameter, g in zip(parameters, step, strict=True):
                    parameter += way * rate * g
                after.append(float(held_out_loss()))
            for parameter, g in zip(parameters, step, strict=True):
                parameter -= rate * g
        lowered = (after[1] - after[0]) / (2 * rate)
        assert value * float(norm) == pytest.approx(lowered, rel=0.05, abs=1e-3)


def test_a_failure_that_does_as_successes_do_comes_first(demos, run):
    found = InfluenceRanker().score(run, demos)
    values = dict(zip(found.failures, found.values, strict=True))
    like_a_success = demos.episodes(Outcome.FAILURE)[0]
    assert max(values, key=values.__getitem__) == like_a_success
    assert values.pop(like_a_success) > 1.5 * max(values.values())
    assert found.successes == tuple(demos.episodes(Outcome.SUCCESS))


def test_runs_that_it_cannot_go_by_are_refused(demos, run, tmp_path: Path):
    def refused(run: Checkpoint, among: DemoSet, says: str) -> None:
        with pytest.raises(CheckpointError, match=says):
            InfluenceRanker().score(run, among)

    everything = demos.subset([*run.episodes, *demos.episodes(Outcome.FAILURE)])
    refused(run, everything, "has seen every success")
    both = train_small(tmp_path / "both", demos, policy=ACT, steps=1)
    refused(both, demos, "trained on failures")
    refused(replace(run, content_hash="another"), demos, "other data")
    seen = demos.subset(demos.episodes(Outcome.SUCCESS)[:3])
    biased = train_small(tmp_path / "biased", seen, policy=small_act(condition="pb"))
    refused(biased, demos, "for each demonstration")

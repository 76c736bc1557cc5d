"""One generator that is told the outcome: its loss, its guidance, and that it can tell."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from outtakes.data.observation import Sizes
from outtakes.errors import ConfigError, DatasetError, UnknownName
from outtakes.policy.flow.flow import FlowPolicy
from outtakes.policy.kinds import from_json, to_json
from tests.demos import make_demos, train_small
from tests.policy.flow.small import learner, seen, small_cfgrl


def test_guidance_is_its_equation():
    torch.manual_seed(0)
    policy = small_cfgrl(sampling_steps=1).build(Sizes(4, 4, 3, 2)).eval()
    noise = torch.randn(2, 5, 2)
    with torch.no_grad():
        memory = policy.encode(seen())
        untold, told, more = (policy.sample_guided(memory, noise, w) for w in (0.0, 1.0, 2.5))
    assert not torch.allclose(told, untold, atol=1e-3)
    assert torch.allclose(more, untold + 2.5 * (told - untold), atol=1e-5)


def test_told_that_it_should_succeed_it_acts_like_the_successes(tmp_path):
    demos = make_demos(4, 4)
    sign = np.repeat(np.where(demos.successes, 1.0, -1.0), demos.lengths)[:, None]
    demos = replace(
        demos,
        state=np.zeros_like(demos.state),
        environment_state=np.zeros_like(demos.environment_state),
        action=(sign * [1.0, 2.0]).astype(np.float32),
    )
    policy = small_cfgrl(chunk=2)
    run = train_small(tmp_path, demos, policy=policy, steps=120, batch_size=16, ema=0.9)
    agent = run.agent()
    raw = {
        "observation.state": np.zeros((32, 4), np.float32),
        "observation.environment_state": np.zeros((32, 3), np.float32),
    }
    share = {}
    for strength in (0, 1):
        steering = agent.begin(raw, f"guided-{strength}")
        chunks = agent.predict(raw, steering, torch.Generator().manual_seed(0))
        share[strength] = (chunks[:, 0, 0] > 0).mean()
    assert share[1] > 0.95
    assert 0.2 < share[0] < 0.8


def test_losses_and_gradients_together_are_those_of_each_alone():
    together = learner(small_cfgrl(), (3, 0))
    losses, _ = together.differentiate(together.batch(0))
    for i, seed in enumerate((3, 0)):
        alone = learner(small_cfgrl(), (seed,))
        own, _ = alone.differentiate(alone.batch(0))
        assert torch.allclose(own.total[0], losses.total[i], rtol=1e-5)


def test_the_outcome_is_left_out_of_as_many_as_was_said():
    for untold, differs in ((0.0, True), (1.0, False)):
        one = learner(small_cfgrl(untold=untold), (0,))
        policy, batch = one.policies[0], one.batch(0)
        assert isinstance(policy, FlowPolicy)
        generator = torch.Generator()
        other = replace(batch, success=~batch.success)
        with torch.no_grad():
            first, second = (
                policy.losses(b, generator.manual_seed(1)).total for b in (batch, other)
            )
        assert (not torch.equal(first, second)) == differs


def test_what_cannot_work_is_refused_in_one_line(tmp_path):
    with pytest.raises(DatasetError, match="no failure to learn from"):
        train_small(tmp_path, make_demos(4, 0), policy=small_cfgrl())
    for bad in ({"strength": -1.0}, {"strength": float("nan")}, {"untold": 1.5}):
        with pytest.raises(ConfigError, match=next(iter(bad))):
            small_cfgrl(**bad)
    config = small_cfgrl(strength=2.0)
    assert from_json(to_json(config)) == config
    assert config.steering("mean") == "guided-2" and config.steering("guided-3") == "guided-3"
    with pytest.raises(UnknownName, match="guided-<number>"):
        config.check_steering("guided")

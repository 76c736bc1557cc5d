"""The capture-safe form of a step, run one operation after the other, beside the ordinary step."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from outtakes.policy.act.act import ActConfig
from outtakes.policy.act.loss import LossConfig
from outtakes.training.config import TrainConfig
from outtakes.training.graphed import GraphedStep
from outtakes.training.learner import Learner
from tests.demos import make_demos, small_act

CONFIG = TrainConfig(steps=6, batch_size=4, learning_rate=2**-10, clip=0.5)
"""With rates that fp32 holds exactly: a program reads them in fp32."""


def learner(policy: ActConfig, seeds: tuple[int, ...] = (3,), **changes) -> Learner:
    demos, config = make_demos(camera=bool(policy.cameras)), replace(CONFIG, **changes)
    policy = replace(policy, pb_learning_rate=2**-7)
    return Learner(demos, policy, config, seeds, torch.device("cpu"))


POLICIES = {
    "state": small_act(condition="none", dropout=0.0, use_vae=False),
    "bias": small_act(loss=LossConfig(kl_weight=0.1)),
    "noise": small_act(dropout=0.2, use_vae=True, loss=LossConfig(kl_weight=0.1)),
    "camera": small_act(condition="none", cameras=("overhead",), backbone_scale=0.1),
}


@pytest.mark.parametrize(
    ("name", "seeds"),
    [("state", (3,)), ("state", (3, 5)), ("bias", (3,)), ("noise", (3,)), ("camera", (3,))],
)
def test_it_takes_the_steps_that_the_ordinary_form_takes(name, seeds):
    ordinary, graphed = (learner(POLICIES[name], seeds, ema=0.75) for _ in range(2))
    take_step = GraphedStep(graphed, capture=False)
    for _ in range(CONFIG.steps):
        expected, finite = ordinary.advance()
        losses, also_finite = take_step()
        assert torch.equal(losses.total, expected.total)
        assert bool(finite.all()) and bool(also_finite.all())
        for part, value in expected.parts.items():
            assert torch.equal(losses.parts[part], value), part
    for i in range(len(seeds)):
        own, other = ordinary.tensors(i), graphed.tensors(i)
        for tensor, value in own.items():
            assert torch.equal(other[tensor], value), tensor


def test_it_follows_the_schedule():
    changes = {"warmup": 2, "schedule": "cosine"}
    ordinary, graphed = learner(POLICIES["bias"], **changes), learner(POLICIES["bias"], **changes)
    take_step = GraphedStep(graphed, capture=False)
    for _ in range(CONFIG.steps):
        expected, _ = ordinary.advance()
        losses, _ = take_step()
        assert torch.allclose(losses.total, expected.total, rtol=1e-5)
    assert graphed.step == ordinary.step == CONFIG.steps


def test_other_samples_are_laid_where_the_program_reads_them():
    one = learner(POLICIES["state"])
    placed = one.data.place(one.draw(0))
    memory = placed.demo.data_ptr()
    placed.lay(one.draw(1))
    assert placed.demo.data_ptr() == memory
    assert placed.demo.tolist() == one.draw(1).demo.tolist()
    assert placed.time.tolist() == one.draw(1).time.tolist()


def test_the_state_is_all_that_a_step_changes():
    one = learner(POLICIES["bias"], ema=0.9)
    before = {name: tensor.clone() for name, tensor in one.tensors(0).items()}
    saved = [tensor.detach().clone() for tensor in one.state()]
    one.advance()
    with torch.no_grad():
        for tensor, value in zip(one.state(), saved, strict=True):
            tensor.copy_(value)
    assert all(torch.equal(tensor, before[name]) for name, tensor in one.tensors(0).items())

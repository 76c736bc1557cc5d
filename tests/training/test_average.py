"""The moving average of weights beside its recurrence, and who acts by it."""

from __future__ import annotations

import pytest
import torch

from outtakes.policy.checkpoint import Checkpoint
from outtakes.training.learner import Learner
from tests.demos import make_demos, small_act, small_train, train_small


@pytest.mark.parametrize("seeds", [(3,), (3, 5)])
def test_it_is_the_recurrence_on_every_parameter(seeds):
    config = small_train(ema=0.3)
    one = Learner(make_demos(), small_act(), config, seeds, torch.device("cpu"))
    expected = [
        {name: p.detach().clone() for name, p in policy.named_parameters()}
        for policy in one.policies
    ]
    for t in range(1, 9):
        one.advance()
        decay = min(0.3, t / (t + 9))
        for policy, own in zip(one.policies, expected, strict=True):
            for name, parameter in policy.named_parameters():
                own[name] = decay * own[name] + (1 - decay) * parameter.detach()
    for i, own in enumerate(expected):
        kept = one.tensors(i)
        assert {f"ema.{name}" for name in own} == {n for n in kept if n[:4] == "ema."} - {
            "ema.steps"
        }
        for name, value in own.items():
            assert torch.allclose(kept[f"ema.{name}"], value, rtol=1e-5, atol=1e-7), name


def test_the_policy_acts_and_remembers_by_the_average_and_trains_on_without_it(tmp_path):
    averaged = train_small(tmp_path / "a", ema=0.5, steps=6)
    plain = train_small(tmp_path / "b", steps=6)
    for name, weight in plain.owned("policy").items():
        assert torch.equal(weight, averaged.owned("policy")[name])
    acting = Checkpoint.load(tmp_path / "a").policy().state_dict()
    table = averaged.tensors["ema.bias.table"]
    assert torch.equal(acting["bias.table"], table)
    assert not torch.equal(acting["action.weight"], averaged.tensors["policy.action.weight"])
    successes = torch.tensor(averaged.successes)
    assert torch.equal(averaged.tensors["memory.biases"], table[successes])


def test_a_run_from_before_there_was_an_average_goes_on(tmp_path):
    old = train_small(tmp_path, steps=2)
    old.training.pop("ema")  # type: ignore[attr-defined]
    old.save(tmp_path)
    assert train_small(tmp_path, steps=4).step == 4

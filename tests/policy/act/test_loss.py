from dataclasses import replace

import numpy as np
import pytest
import torch

from outtakes.data.batches import DeviceDemos, Sampler
from outtakes.data.normalize import Normalizer
from outtakes.data.observation import Sizes
from outtakes.errors import ConfigError
from outtakes.policy.act.act import ActPolicy
from outtakes.policy.act.loss import LossConfig
from outtakes.policy.policy import Losses
from tests import naive
from tests.demos import bias_of, gradient_of, make_demos, small_act


def make_batch(chunk: int = 5, size: int = 4):
    demos = make_demos()
    data = DeviceDemos(demos, Normalizer.of(demos), (), torch.device("cpu"))
    return data.batch(Sampler(demos, seed=0, batch_size=size).draw(0), chunk)


def make_policy(**changes) -> ActPolicy:
    torch.manual_seed(1)
    policy = ActPolicy(small_act(**changes), Sizes(6, 4, 3, 2))
    if policy.bias is not None:
        torch.nn.init.normal_(policy.bias.table)
    return policy


def part(losses: Losses, name: str) -> float:
    return float(losses.parts[name].detach())


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_the_loss_is_equation_4():
    policy = make_policy(alpha_pb=0.5, loss=LossConfig(kl_weight=0.3, kl_cap=1e9))
    batch = make_batch()
    losses = policy.losses(batch)
    parameters = naive.parameters_of(policy)
    table = parameters["bias.table"]
    errors, divergences = [], []
    for i in range(len(batch.demo)):
        observed = batch.observation
        seen = (
            observed.state[i].double().numpy(),
            observed.environment_state[i].double().numpy(),
        )
        actions, positive = naive.act(parameters, policy.config, *seen, table[batch.demo[i]])
        _, negative = naive.act(parameters, policy.config, *seen, table[batch.other_demo[i]])
        target = batch.action[i].double().numpy()
        errors += [
            float(np.mean(np.abs(actions[t] - target[t])))
            for t in range(policy.config.chunk)
            if batch.valid[i, t]
        ]
        divergences.append(naive.d_sym_of_maps(positive, negative))
    action, divergence = sum(errors) / len(errors), sum(divergences) / len(divergences)
    assert part(losses, "loss/action_l1") == pytest.approx(action, abs=1e-5)
    assert part(losses, "divergence/d_sym_nats") == pytest.approx(divergence, abs=1e-5)
    assert float(losses.total.detach()) == pytest.approx(action - 0.3 * divergence, abs=1e-5)


def test_padding_counts_for_nothing():
    policy, batch = make_policy(use_vae=True), make_batch(size=6)
    assert not batch.valid.all()
    garbage = torch.where(batch.valid[..., None], batch.action, torch.full_like(batch.action, 99.0))
    clean, padded = (
        policy.losses(b, seeded()).total for b in (batch, replace(batch, action=garbage))
    )
    assert torch.allclose(clean, padded, atol=1e-6)


def test_equal_biases_are_no_divergence_even_with_dropout():
    policy, batch = make_policy(dropout=0.3).train(), make_batch()
    with torch.no_grad():
        bias_of(policy).table[:] = bias_of(policy).table[:1].clone()
    losses = policy.losses(batch, seeded())
    assert part(losses, "divergence/active") == 1
    assert part(losses, "divergence/d_sym_nats") == pytest.approx(0.0, abs=1e-10)


def test_the_divergence_sends_gradient_into_both_biases():
    policy, batch = make_policy(loss=LossConfig(kl_weight=1.0)), make_batch(size=1)
    policy.losses(batch).total.backward()
    moved = gradient_of(bias_of(policy).table).abs().sum(dim=(1, 2)).nonzero().flatten().tolist()
    assert moved == sorted({int(batch.demo[0]), int(batch.other_demo[0])})
    assert moved == sorted(policy.demonstrations_used(batch).tolist())


def test_however_large_the_divergence_its_share_of_the_loss_is_bounded():
    policy, batch = make_policy(loss=LossConfig(kl_weight=0.5, kl_cap=2.0)), make_batch()
    with torch.no_grad():
        bias_of(policy).table.mul_(1e3)
    losses = policy.losses(batch)
    assert part(losses, "divergence/d_sym_nats") > 2.0
    assert part(losses, "loss/action_l1") - float(losses.total.detach()) <= 0.5 * 2.0 + 1e-6


@pytest.mark.parametrize(
    ("changes", "paired"),
    [
        ({}, False),
        ({"loss": LossConfig(kl_weight=0.0)}, True),
        ({"condition": "label"}, True),
        ({"condition": "none"}, True),
    ],
)
def test_without_the_term_the_loss_is_imitation_alone(changes, paired):
    policy, batch = make_policy(**changes), replace(make_batch(), paired=paired)
    losses = policy.losses(batch)
    assert torch.equal(losses.total, losses.parts["loss/action_l1"])
    assert part(losses, "divergence/active") == part(losses, "divergence/d_sym_nats") == 0
    assert torch.equal(policy.demonstrations_used(batch), batch.demo)


def test_the_variational_term_is_the_gaussian_kl():
    policy, batch = make_policy(use_vae=True), replace(make_batch(), paired=False)
    losses = policy.losses(batch, seeded())
    observed = (batch.observation.state, batch.action, batch.valid)
    assert policy.variational is not None
    latent = policy.variational(*observed, None)
    posterior = torch.distributions.Normal(latent.mean, (latent.log_variance / 2).exp())
    prior = torch.distributions.Normal(0.0, 1.0)
    expected = torch.distributions.kl_divergence(posterior, prior).sum(-1).mean()
    assert part(losses, "loss/vae_kl") == pytest.approx(float(expected.detach()), abs=1e-5)
    assert float(losses.total.detach()) == pytest.approx(
        part(losses, "loss/action_l1") + 10 * part(losses, "loss/vae_kl"), rel=1e-5
    )


@pytest.mark.parametrize("bad", [{"kl_weight": -1}, {"kl_cap": 0}, {"vae_weight": -0.1}])
def test_weights_that_cannot_work_are_refused(bad):
    with pytest.raises(ConfigError):
        LossConfig(**bad)

from dataclasses import replace

import numpy as np
import pytest
import torch

from outtakes.data.batches import DeviceDemos, Sampler
from outtakes.data.normalize import Normalizer
from outtakes.data.observation import Sizes
from outtakes.errors import ConfigError
from outtakes.policy.act.policy import ActPolicy
from outtakes.policy.act.loss import LossConfig, compute_loss
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


def test_the_loss_is_equation_4():
    policy, batch = make_policy(alpha_pb=0.5), make_batch()
    config = LossConfig(kl_weight=0.3, kl_cap=1e9)
    loss = compute_loss(policy, batch, config, separate=True)
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
    assert float(loss.action.detach()) == pytest.approx(action, abs=1e-5)
    assert float(loss.divergence.detach()) == pytest.approx(divergence, abs=1e-5)
    assert float(loss.total.detach()) == pytest.approx(action - 0.3 * divergence, abs=1e-5)


def test_padding_counts_for_nothing():
    policy, batch = make_policy(use_vae=True), make_batch(size=6)
    assert not batch.valid.all()
    garbage = torch.where(batch.valid[..., None], batch.action, torch.full_like(batch.action, 99.0))
    losses = [
        compute_loss(
            policy, b, LossConfig(), separate=True, generator=torch.Generator().manual_seed(0)
        )
        for b in (batch, replace(batch, action=garbage))
    ]
    assert torch.allclose(losses[0].total, losses[1].total, atol=1e-6)


def test_equal_biases_are_no_divergence_even_with_dropout():
    policy, batch = make_policy(dropout=0.3).train(), make_batch()
    with torch.no_grad():
        bias_of(policy).table[:] = bias_of(policy).table[:1].clone()
    loss = compute_loss(
        policy, batch, LossConfig(), separate=True, generator=torch.Generator().manual_seed(0)
    )
    assert float(loss.divergence.detach()) == pytest.approx(0.0, abs=1e-10)


def test_the_divergence_sends_gradient_into_both_biases():
    policy, batch = make_policy(), make_batch(size=1)
    compute_loss(policy, batch, LossConfig(kl_weight=1.0), separate=True).total.backward()
    moved = gradient_of(bias_of(policy).table).abs().sum(dim=(1, 2)).nonzero().flatten().tolist()
    assert moved == sorted({int(batch.demo[0]), int(batch.other_demo[0])})


def test_however_large_the_divergence_its_share_of_the_loss_is_bounded():
    policy, batch = make_policy(), make_batch()
    with torch.no_grad():
        bias_of(policy).table.mul_(1e3)
    config = LossConfig(kl_weight=0.5, kl_cap=2.0)
    loss = compute_loss(policy, batch, config, separate=True)
    assert float(loss.divergence.detach()) > config.kl_cap
    assert float((loss.action - loss.total).detach()) <= config.kl_weight * config.kl_cap + 1e-6


def test_without_the_term_the_loss_is_imitation_alone():
    policy, batch = make_policy(), make_batch()
    loss = compute_loss(policy, batch, LossConfig(kl_weight=0.5), separate=False)
    assert torch.equal(loss.total, loss.action)
    assert float(loss.divergence.detach()) == 0


def test_the_variational_term_is_the_gaussian_kl():
    policy, batch = make_policy(use_vae=True), make_batch()
    generator = torch.Generator().manual_seed(0)
    loss = compute_loss(policy, batch, LossConfig(), separate=False, generator=generator)
    observed = (batch.observation.state, batch.action, batch.valid)
    assert policy.variational is not None
    latent = policy.variational(*observed, None)
    posterior = torch.distributions.Normal(latent.mean, (latent.log_variance / 2).exp())
    prior = torch.distributions.Normal(0.0, 1.0)
    expected = torch.distributions.kl_divergence(posterior, prior).sum(-1).mean()
    assert float(loss.vae.detach()) == pytest.approx(float(expected.detach()), abs=1e-5)
    assert float(loss.total.detach()) == pytest.approx(
        float((loss.action + 10 * loss.vae).detach()), rel=1e-5
    )


@pytest.mark.parametrize("bad", [{"kl_weight": -1}, {"kl_cap": 0}, {"vae_weight": -0.1}])
def test_weights_that_cannot_work_are_refused(bad):
    with pytest.raises(ConfigError):
        LossConfig(**bad)

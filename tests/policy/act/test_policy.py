from dataclasses import replace

import numpy as np
import pytest
import torch

from outtakes.data.observation import Observation, Sizes
from outtakes.errors import ConfigError
from outtakes.policy.act.act import ActConfig, ActPolicy
from tests import naive
from tests.demos import bias_of, gradient_of, small_act

SIZES = Sizes(demos=4, state=4, environment_state=3, action=2)


def make_policy(**changes) -> ActPolicy:
    torch.manual_seed(0)
    policy = ActPolicy(small_act(**changes), SIZES)
    if policy.bias is not None:
        torch.nn.init.normal_(policy.bias.table)
    return policy


def make_observation(batch: int = 3, seed: int = 0) -> Observation:
    generator = torch.Generator().manual_seed(seed)
    return Observation(
        torch.randn(batch, 4, generator=generator), torch.randn(batch, 3, generator=generator), {}
    )


def test_the_policy_agrees_with_the_naive_one():
    policy, observation = make_policy(alpha_pb=0.7).eval(), make_observation()
    bias = bias_of(policy).table[:3]
    decoded = policy.decode(policy.encode(observation), bias)
    actions = policy.actions(decoded)
    parameters = naive.parameters_of(policy)
    for i in range(3):
        expected, maps = naive.act(
            parameters,
            policy.config,
            observation.state[i].double().numpy(),
            observation.environment_state[i].double().numpy(),
            bias[i].detach().double().numpy(),
        )
        assert np.allclose(actions[i].detach(), expected, atol=1e-5)
        ours = torch.stack(decoded.logits).softmax(-1)[:, i].detach()
        assert np.allclose(ours, maps, atol=1e-5)


def test_a_zero_bias_is_no_bias():
    policy, observation = make_policy(), make_observation()
    zeros = torch.zeros(3, 5, 5)
    assert torch.equal(policy(observation, zeros), policy(observation, None))


def test_every_decoder_layer_and_both_projections_get_gradient():
    policy = make_policy()
    policy(make_observation(), bias_of(policy).table[:3]).square().sum().backward()
    # Shifting every logit of a row alike changes nothing, so key biases have no gradient; and the
    # first layer's values are of zeros, so that one weight has none either.
    idle = ("key.bias", "layers.0.self_attention.value.weight")
    for name, parameter in policy.decoder.named_parameters():
        if not name.endswith(idle):
            assert gradient_of(parameter).abs().sum() > 1e-7, name
    for i in range(policy.config.decoder_layers):
        assert gradient_of(bias_of(policy).to_query[i].weight).abs().sum() > 0
        assert gradient_of(bias_of(policy).to_value[i].weight).abs().sum() > 0
    assert (gradient_of(bias_of(policy).table)[:3].abs().sum(dim=(1, 2)) > 0).all()
    assert gradient_of(bias_of(policy).table)[3].abs().sum() == 0


def test_attention_follows_the_observation_from_the_second_layer_on():
    policy = make_policy()
    bias = bias_of(policy).table[:1].expand(3, -1, -1)
    first = policy.decode(policy.encode(make_observation(seed=1)), bias).logits
    second = policy.decode(policy.encode(make_observation(seed=2)), bias).logits
    assert torch.allclose(first[0], second[0], atol=1e-6)
    for a, b in zip(first[1:], second[1:], strict=True):
        assert (a - b).abs().max() > 1e-4


def test_one_decoder_layer_with_bias_is_refused_with_the_reason():
    with pytest.raises(ConfigError, match=r"same at every observation.*at least 2 decoder layers"):
        small_act(decoder_layers=1)
    assert small_act(decoder_layers=1, condition="none").decoder_layers == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"width": 18},
        {"dropout": 1.0},
        {"chunk": 0},
        {"pb_learning_rate": -1.0},
        {"backbone_scale": -0.1},
    ],
)
def test_settings_that_cannot_work_are_refused(changes):
    with pytest.raises(ConfigError):
        small_act(**changes)


def test_nothing_to_observe_is_refused():
    with pytest.raises(ConfigError, match="nothing to observe"):
        ActPolicy(small_act(), replace(SIZES, state=0, environment_state=0))


def test_the_label_token_changes_the_action():
    policy, observation = make_policy(condition="label"), make_observation()
    success = policy.actions(policy.decode(policy.encode(observation)))
    failure = policy.actions(
        policy.decode(policy.encode(observation, label=torch.zeros(3, dtype=torch.long)))
    )
    assert torch.equal(success, policy(observation))
    assert (success - failure).abs().max() > 1e-4


def test_images_reach_the_actions():
    policy = ActPolicy(small_act(cameras=("overhead",)), SIZES)
    seen = make_observation()
    black = replace(seen, images={"overhead": torch.zeros(3, 64, 64, 3, dtype=torch.uint8)})
    white = replace(seen, images={"overhead": torch.full((3, 64, 64, 3), 255, dtype=torch.uint8)})
    assert (policy(black) - policy(white)).abs().max() > 1e-5
    policy(white).sum().backward()
    assert policy.backbone is not None
    assert gradient_of(policy.backbone.conv1.weight).abs().sum() > 0


def test_the_paper_recipe_is_the_paper_architecture():
    config = ActConfig()
    assert (config.chunk, config.width, config.heads) == (100, 512, 8)
    assert (config.encoder_layers, config.decoder_layers, config.feed_forward) == (4, 7, 3200)
    assert (config.pb_size, config.latent) == (5, 32)

"""With PB off our policy is LeRobot's ACT: same actions, same loss, same gradients."""

import pytest
import torch

from benchmarks.peer import batch_for_lerobot, lerobot_act, weights_for_lerobot
from outtakes.data.batches import Batch
from outtakes.data.observation import Observation, Sizes
from outtakes.policy.act.act import ActPolicy
from tests.demos import small_act

SIZES = Sizes(demos=4, state=4, environment_state=3, action=2)


def make_policy(**changes) -> ActPolicy:
    torch.manual_seed(0)
    policy = ActPolicy(small_act(condition="none", **changes), SIZES).train()
    for name, parameter in policy.named_parameters():
        if name.startswith("backbone."):
            continue
        scale = "norm" in name and name.endswith("weight")
        torch.nn.init.normal_(parameter, mean=float(scale), std=0.1)
    return policy


def make_batch(cameras: tuple[str, ...], chunk: int) -> Batch:
    generator = torch.Generator().manual_seed(1)
    valid = torch.ones(3, chunk, dtype=torch.bool)
    valid[1, 2:] = False
    return Batch(
        demo=torch.arange(3),
        other_demo=torch.arange(3),
        success=torch.ones(3, dtype=torch.bool),
        observation=Observation(
            torch.randn(3, 4, generator=generator),
            torch.randn(3, 3, generator=generator),
            {
                camera: torch.randint(
                    0, 256, (3, 64, 96, 3), dtype=torch.uint8, generator=generator
                )
                for camera in cameras
            },
        ),
        action=torch.randn(3, chunk, 2, generator=generator),
        valid=valid,
        paired=False,
    )


@pytest.mark.parametrize("use_vae", [False, True])
@pytest.mark.parametrize("cameras", [(), ("overhead", "wrist")])
@pytest.mark.parametrize("decoder_layers", [1, 3])
def test_loss_and_gradients_are_lerobots(use_vae, cameras, decoder_layers, monkeypatch):
    policy = make_policy(use_vae=use_vae, cameras=cameras, decoder_layers=decoder_layers)
    batch = make_batch(cameras, policy.config.chunk)
    theirs = lerobot_act(policy, image_size=64)
    # Both draw the latent from one standard normal, each in its own way: give them its mean.
    monkeypatch.setattr(torch, "randn_like", torch.zeros_like)
    monkeypatch.setattr(torch, "randn", lambda *shape, **_: torch.zeros(*shape))
    ours = policy.losses(batch).total
    expected, _ = theirs(batch_for_lerobot(batch, policy))
    assert torch.allclose(ours, expected, rtol=1e-5)
    ours.backward()
    expected.backward()
    own = _own_gradients(policy)
    gradients = {n: p.grad for n, p in theirs.model.named_parameters() if p.grad is not None}
    greatest = max(float(gradient.abs().max()) for gradient in gradients.values())
    for name, gradient in gradients.items():
        assert torch.allclose(own[name], gradient, rtol=1e-3, atol=1e-5 * greatest), name


def _own_gradients(policy: ActPolicy) -> dict[str, torch.Tensor]:
    """Our gradients under LeRobot's names."""
    twin = ActPolicy(policy.config, policy.sizes)
    twin.load_state_dict(policy.state_dict())
    for mine, parameter in zip(twin.parameters(), policy.parameters(), strict=True):
        mine.data = torch.zeros_like(mine) if parameter.grad is None else parameter.grad
    return weights_for_lerobot(twin)


@pytest.mark.parametrize("cameras", [(), ("overhead", "wrist")])
def test_actions_are_lerobots(cameras):
    policy = make_policy(cameras=cameras)
    batch = make_batch(cameras, policy.config.chunk)
    theirs = lerobot_act(policy, image_size=64).eval()
    with torch.no_grad():
        ours = policy.eval()(batch.observation)
        expected = theirs.predict_action_chunk(batch_for_lerobot(batch, policy))
    assert torch.allclose(ours, expected, rtol=1e-4, atol=1e-5)

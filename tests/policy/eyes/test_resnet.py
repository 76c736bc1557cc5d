from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from safetensors.torch import save_file

from outtakes.data.observation import Sizes
from outtakes.errors import CheckpointError
from outtakes.policy.act.act import ActPolicy
from outtakes.policy.eyes.resnet import FEATURES, STRIDE, ResNet18
from tests.demos import make_demos, small_act, train_small


@pytest.fixture(scope="module")
def reference() -> torchvision.models.ResNet:
    """torchvision's ResNet-18 with made-up weights and batch-norm statistics."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = torchvision.models.resnet18().eval()
        for name, buffer in network.named_buffers():
            if name.endswith("running_mean"):
                buffer.normal_(std=0.1)
            if name.endswith("running_var"):
                buffer.uniform_(0.5, 2.0)
    return network


@pytest.fixture(scope="module")
def weights(reference, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "resnet18.safetensors"
    save_file(dict(reference.state_dict()), path)
    return path


def make_images(batch: int = 2, height: int = 64, width: int = 96) -> torch.Tensor:
    rng = np.random.default_rng(0)
    return torch.from_numpy(rng.integers(0, 256, (batch, height, width, 3), dtype=np.uint8))


@torch.no_grad()
def test_the_feature_map_is_torchvisions(reference, weights):
    images = make_images()
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x = ((images / 255 - mean) / deviation).permute(0, 3, 1, 2)
    for name, layer in list(reference.named_children())[:-2]:
        assert name not in ("avgpool", "fc")
        x = layer(x)
    found = ResNet18(weights)(images)
    assert found.shape == (2, FEATURES, 64 // STRIDE, 96 // STRIDE)
    assert torch.allclose(found, x, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_the_embedding_is_the_mean_over_the_image_and_each_image_has_its_own(weights):
    images, network = make_images(), ResNet18(weights)
    embedding = network.embed(images)
    assert torch.allclose(embedding, network(images).mean(dim=(2, 3)))
    assert torch.allclose(network.embed(images[1:]), embedding[1:], atol=1e-5)
    assert (embedding[0] - embedding[1]).abs().max() > 1e-3


@torch.no_grad()
def test_an_untrained_network_keeps_features_in_range_and_tells_images_apart():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = ResNet18()
    features = network(make_images())
    assert 0.01 < features.std() < 30
    assert (network.embed(make_images())[0] - network.embed(make_images())[1]).abs().max() > 1e-3


def test_batch_norms_are_frozen_and_convolutions_are_trained(tmp_path):
    demos = make_demos(1, 1, camera=True)
    settings = {"policy": small_act(cameras=("overhead",)), "batch_size": 2}
    before = train_small(tmp_path, demos, steps=1, **settings).owned("policy")
    after = train_small(tmp_path, demos, steps=2, **settings).owned("policy")
    norms = [n for n in before if ".bn" in n or "downsample.1" in n]
    assert len(norms) == 20 * 4
    assert all(torch.equal(before[name], after[name]) for name in norms)
    convolutions = [n for n in before if n.startswith("backbone.") and n not in norms]
    assert len(convolutions) == 20
    assert not any(torch.equal(before[name], after[name]) for name in convolutions)


def test_a_policy_starts_from_the_given_weights(weights, reference):
    policy = ActPolicy(
        small_act(cameras=("overhead",), backbone_weights=weights), Sizes(2, 4, 3, 2)
    )
    assert policy.backbone is not None
    name = "layer4.1.bn2.weight"
    assert torch.equal(policy.backbone.state_dict()[name], reference.state_dict()[name])


def test_files_that_are_not_its_weights_are_refused_in_one_line(weights, tmp_path):
    garbage, partial = tmp_path / "garbage.safetensors", tmp_path / "partial.safetensors"
    garbage.write_bytes(b"garbage" * 100)
    save_file({"conv1.weight": torch.zeros(64, 3, 7, 7)}, partial)
    truncated = tmp_path / "truncated.safetensors"
    truncated.write_bytes(weights.read_bytes()[:100_000])
    for path in (garbage, partial, truncated, tmp_path / "missing.safetensors"):
        with pytest.raises(CheckpointError, match="not ResNet-18 weights") as error:
            ResNet18(path)
        assert error.value.where == path
        assert "\n" not in str(error.value)

"""Frozen eyes: the network, what is kept of a dataset, and policies that look through them."""

from __future__ import annotations

import io
import logging
import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image

from outtakes.data.demo import FEATURES, DemoSet, Outcome
from outtakes.data.lerobot.read import read_dataset
from outtakes.data.lerobot.video import decode_image
from outtakes.data.projection import Projection
from outtakes.data.ref import keep
from outtakes.errors import (
    CheckpointError,
    ConfigError,
    DatasetError,
    MachineError,
    UnknownName,
)
from outtakes.policy.checkpoint import Checkpoint
from outtakes.policy.eyes import imagenet, looking
from outtakes.policy.eyes.frozen import FrozenEyes
from outtakes.policy.eyes.looking import features_folder, look, looking_on
from outtakes.policy.eyes.network import FrozenNetwork
from outtakes.policy.policy import PolicyConfig
from outtakes.ranking.ranker import ranker
from outtakes.ranking.scores import rank
from outtakes.training.learner import Learner
from tests.demos import make_demos, small_act, small_train, train_small

EYES = FrozenEyes(cameras=("overhead",), weights="random-0", layer=0, components=4, image_size=32)
"""Small ones that need no weights."""
TOKENS = replace(EYES, form="tokens", layer=3)


@pytest.fixture(scope="module")
def demos(tmp_path_factory: pytest.TempPathFactory) -> DemoSet:
    """Demonstrations with pictures, in a frame cache of their own."""
    cache = tmp_path_factory.mktemp("cache")
    return keep(make_demos(camera=True), cache_dir=cache).open()


@pytest.fixture
def fresh(demos: DemoSet, tmp_path: Path) -> DemoSet:
    """The same that no eyes have looked at yet."""
    assert demos.cache is not None
    return demos.cached_in(Path(shutil.copytree(demos.cache, tmp_path / "cache")))


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(eyes: FrozenEyes) -> None:
        raise AssertionError("the network was opened")

    monkeypatch.setattr(looking, "FrozenNetwork", refuse)


def pictures(count: int, size: int = 96) -> np.ndarray:
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (count, size // 8, size // 8, 3), dtype=np.uint8)
    return coarse.repeat(8, axis=1).repeat(8, axis=2)


# The network and its weights


def test_timms_network_is_that_of_the_weights_own_definition() -> None:
    from efficientnet_lite_pytorch import EfficientNet

    network, own = FrozenNetwork(FrozenEyes()), EfficientNet.from_name("efficientnet-lite0")
    own.load_state_dict(torch.load(imagenet._pickle(), weights_only=True))
    own.eval()
    seen = torch.from_numpy(pictures(3))
    x = (seen.permute(0, 3, 1, 2) / 255 - 0.5) / 0.5
    with torch.no_grad():
        x = own._swish(own._bn0(own._conv_stem(x)))
        for block in own._blocks[:11]:
            x = block(x)
    found = network(seen)
    assert found.shape == (3, 6, 6, 112)
    assert found.std() > 1
    assert torch.allclose(found, x.permute(0, 2, 3, 1), atol=1e-4)


def test_a_damaged_weights_file_is_refused_and_a_kept_one_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OUTTAKES_CACHE", str(tmp_path))
    before = FrozenNetwork(FrozenEyes()).state_dict()
    (kept,) = tmp_path.rglob("*.safetensors")
    content = bytearray(kept.read_bytes())
    content[len(content) // 2] ^= 1
    kept.write_bytes(content)
    assert torch.equal(
        FrozenNetwork(FrozenEyes()).state_dict()["model.conv_stem.weight"],
        before["model.conv_stem.weight"],
    )
    assert kept.read_bytes() != bytes(content)

    kept.unlink()
    damaged = tmp_path / "weights.pth"
    damaged.write_bytes(imagenet._pickle().read_bytes()[:-1])
    monkeypatch.setattr(imagenet, "_pickle", lambda: damaged)
    with pytest.raises(MachineError, match=r"damaged weights .*weights\.pth.*install them again"):
        FrozenNetwork(FrozenEyes())


def test_what_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setenv("OUTTAKES_CACHE", str(tmp_path))
    monkeypatch.setattr(imagenet, "distribution", absent)
    with pytest.raises(MachineError, match=r"pip install 'outtakes\[eyes\]'"):
        FrozenNetwork(FrozenEyes())
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(MachineError, match=r"need timm: pip install 'outtakes\[eyes\]'"):
        FrozenNetwork(EYES)


@pytest.mark.parametrize("network", ["resnet99", "hf-hub:somebody/resnet18", "local-dir:/tmp/x"])
def test_only_networks_of_timms_own_are_opened(network: str) -> None:
    with pytest.raises(UnknownName, match="unknown network"):
        FrozenNetwork(replace(EYES, network=network))


@pytest.mark.parametrize(
    ("network", "size", "cells", "channels"),
    [("resnet18", 64, 8, 128), ("vit_tiny_patch16_224", 64, 4, 192)],
)
def test_timms_other_networks_fit(network: str, size: int, cells: int, channels: int) -> None:
    eyes = replace(EYES, network=network, layer=2, image_size=size)
    assert FrozenNetwork(eyes).look(pictures(2, size)).shape == (2, cells, cells, channels)


def test_a_map_that_a_network_lacks_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"layer 5 .* choose one below 5"):
        FrozenNetwork(replace(EYES, layer=5))


@pytest.mark.parametrize(
    ("bad", "complaint"),
    [
        (pictures(1).astype(np.uint16), "pictures of uint16"),
        (pictures(1)[..., :1], r"pictures of shape \(96, 96, 1\)"),
    ],
)
def test_pictures_of_another_kind_are_refused(bad: np.ndarray, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        FrozenNetwork(EYES).look(bad)


def test_stored_pictures_of_16_bits_are_refused() -> None:
    file = io.BytesIO()
    Image.fromarray(np.full((4, 4), 1000, np.uint16)).save(file, "PNG")
    with pytest.raises(DatasetError, match=r"more than 8 bits deep.*front\.png.*--cameras"):
        decode_image(file.getvalue(), "front.png")


# What is kept of a dataset


class Killed(BaseException):
    pass


def test_a_dataset_is_looked_at_once(fresh: DemoSet, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[int, int]] = []
    first = look(fresh, EYES, progress=lambda done, total, what: told.append((done, total)))
    assert told[-1] == (len(fresh.action), len(fresh.action))
    monkeypatch.setattr(looking, "FrozenNetwork", None)
    again = look(fresh, EYES).features["overhead"]
    assert isinstance(again, np.memmap) and again.dtype == np.float16
    in_memory = first.features["overhead"]
    assert np.array_equal(again, in_memory)


def test_a_killed_look_goes_on_where_it_was(
    fresh: DemoSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looking, "AT_ONCE", 8)
    network, looked = FrozenNetwork(EYES), []

    class Counting:
        def __init__(self, last: int) -> None:
            self.last = last

        def to(self, device: object) -> Counting:
            return self

        def look(self, seen: np.ndarray) -> np.ndarray:
            if len(looked) == self.last:
                raise Killed
            looked.append(len(seen))
            return network.look(seen)

    monkeypatch.setattr(looking, "FrozenNetwork", lambda eyes: Counting(3))
    with pytest.raises(Killed):
        look(fresh, EYES)
    monkeypatch.setattr(looking, "FrozenNetwork", lambda eyes: Counting(1000))
    resumed = look(fresh, EYES).features["overhead"]
    assert sum(looked) == len(fresh.action)
    whole = network.look(fresh.images["overhead"][:])
    assert np.allclose(resumed, whole, atol=1e-2)


def test_eyes_look_on_while_a_dataset_is_decoded(
    made_datasets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def watch(demos: DemoSet, cameras: Sequence[str], cache: Path, *, again: bool):
        return looking_on(EYES, cache, len(demos.action), again=again)

    demos = read_dataset(made_datasets / "lift", cache_dir=tmp_path, watch=watch)
    assert demos.cache is not None and features_folder(demos.cache).is_dir()
    monkeypatch.setattr(looking, "FrozenNetwork", None)
    seen = look(demos, EYES).features["overhead"]
    whole = FrozenNetwork(EYES).look(demos.images["overhead"][:])
    assert np.allclose(seen, whole, atol=1e-2)


def test_other_eyes_look_anew(fresh: DemoSet) -> None:
    first = look(fresh, EYES).features["overhead"]
    for other in (replace(EYES, layer=1), replace(EYES, weights="random-1")):
        found = look(fresh, other).features["overhead"]
        assert found.shape != first.shape or not np.array_equal(found, first)


# The projection


def test_a_projection_is_white_where_it_was_fitted() -> None:
    rng = np.random.default_rng(0)
    rows = (rng.normal(size=(300, 6)) @ rng.normal(size=(6, 20)) + 5).astype(np.float32)
    projection = Projection.fit(rows, 8)
    found = projection.of(torch.from_numpy(rows)).numpy()
    assert np.allclose(found[:, :6].mean(axis=0), 0, atol=1e-3)
    assert np.allclose(np.cov(found[:, :6].T, bias=True), np.eye(6), atol=1e-2)
    # There are but six directions: the others are no noise blown up.
    assert np.abs(found[:, 6:]).max() < 1e-2
    centred = rows - rows.mean(axis=0)
    _, _, directions = np.linalg.svd(centred, full_matrices=False)
    main = centred @ directions[0]
    assert abs(np.corrcoef(main, found[:, 0])[0, 1]) > 0.999


def test_pictures_that_never_change_say_nothing() -> None:
    found = Projection.fit(np.full((10, 6), 3, np.float32), 4).of(torch.full((2, 6), 3.0))
    assert torch.isfinite(found).all() and found.abs().max() < 1e-3


def test_it_is_fitted_on_training_demonstrations_alone(demos: DemoSet) -> None:
    seen = look(demos, EYES)
    successes = seen.subset(seen.episodes(Outcome.SUCCESS))
    changed = np.array(seen.features["overhead"])
    others = np.setdiff1d(np.arange(len(changed)), successes.rows())
    changed[others] = 7
    other = replace(successes, features={"overhead": changed})
    config = small_act(eyes=EYES)
    sights = [
        Learner(d, config, small_train(), (0,), torch.device("cpu")).sight
        for d in (successes, other)
    ]
    assert sights[0] is not None and sights[1] is not None
    for name, tensor in sights[0].tensors().items():
        assert torch.equal(tensor, sights[1].tensors()[name])


# Policies


def eyes_of(config: PolicyConfig) -> FrozenEyes:
    assert config.eyes is not None
    return config.eyes


@pytest.fixture(scope="module", params=[EYES, TOKENS], ids=["vector", "tokens"])
def run(request, demos: DemoSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    train_small(folder, demos, policy=small_act(eyes=request.param), steps=6)
    return folder


def raw(demos: DemoSet, rows: slice) -> dict[str, np.ndarray]:
    return {
        "observation.state": demos.state[rows],
        "observation.environment_state": demos.environment_state[rows],
        "observation.images.overhead": np.array(demos.images["overhead"][rows]),
    }


def test_a_run_acts_from_pictures_as_from_what_is_kept(run: Path, demos: DemoSet) -> None:
    agent, rows = Checkpoint.load(run).agent(), slice(0, 6)
    assert agent.cameras == ("overhead",)
    seen = raw(demos, rows)
    from_pictures = agent.predict(seen, agent.begin(seen))
    kept = dict(seen)
    del kept["observation.images.overhead"]
    kept[f"{FEATURES}overhead"] = look(demos, eyes_of(agent.policy.config)).features["overhead"][
        rows
    ]
    from_features = agent.predict(kept, agent.begin(kept))
    assert np.allclose(from_pictures, from_features, atol=1e-2)
    assert agent.begin(kept).episodes.tolist() == agent.begin(seen).episodes.tolist()


def test_it_acts_by_pictures_and_not_by_object_poses(run: Path, demos: DemoSet) -> None:
    agent, seen = Checkpoint.load(run).agent(), raw(demos, slice(0, 4))
    steering = agent.begin(seen)
    chunk = agent.predict(seen, steering)
    moved = {**seen, "observation.environment_state": seen["observation.environment_state"] + 1}
    assert np.array_equal(agent.predict(moved, steering), chunk)
    dark = {**seen, "observation.images.overhead": seen["observation.images.overhead"] // 4}
    assert not np.allclose(agent.predict(dark, steering), chunk, atol=1e-4)


def test_training_goes_on_bitwise_where_it_was_stopped(
    run: Path, demos: DemoSet, tmp_path: Path
) -> None:
    whole = Checkpoint.load(run)
    train_small(tmp_path, demos, policy=whole.config, steps=3)
    resumed = train_small(tmp_path, demos, policy=whole.config, steps=6)
    assert all(torch.equal(resumed.tensors[name], t) for name, t in whole.tensors.items())


def test_seeds_train_together_through_frozen_eyes(run: Path, demos: DemoSet) -> None:
    config = Checkpoint.load(run).config
    assert config.stackable
    seen, device = look(demos, eyes_of(config)), torch.device("cpu")
    together = Learner(seen, config, small_train(), (0, 1), device)
    losses, _ = together.differentiate(together.batch(0))
    for i, seed in enumerate((0, 1)):
        alone = Learner(seen, config, small_train(), (seed,), device)
        own, _ = alone.differentiate(alone.batch(0))
        assert torch.allclose(losses.total[i], own.total[0], atol=1e-5)


def test_every_ranker_ranks_from_what_is_kept(run: Path, demos: DemoSet, no_network: None) -> None:
    scores = rank(ranker("attention"), [Checkpoint.load(run)], demos)
    assert [f.episode for f in scores.failures] == demos.episodes(Outcome.FAILURE)


def test_other_eyes_are_refused(run: Path, demos: DemoSet) -> None:
    checkpoint = Checkpoint.load(run)
    eyes = replace(eyes_of(checkpoint.config), weights="0123456789abcdef", network="resnet18")
    other = replace(checkpoint, config=replace(checkpoint.config, eyes=eyes))
    untrained = timm.create_model("resnet18")
    agent, seen = other.agent(), raw(demos, slice(0, 2))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("outtakes.policy.eyes.network._from_hub", lambda *_: untrained)
        with pytest.raises(CheckpointError, match="eyes are of other weights: resnet18 01234567"):
            agent.begin(seen)
    lite0 = replace(eyes, network="tf_efficientnet_lite0")
    with pytest.raises(CheckpointError, match="eyes are of other weights"):
        FrozenNetwork(lite0)


def test_a_picture_that_is_missing_is_named(run: Path, demos: DemoSet) -> None:
    agent, seen = Checkpoint.load(run).agent(), raw(demos, slice(0, 2))
    seen["observation.images.wrist"] = seen.pop("observation.images.overhead")
    with pytest.raises(ConfigError, match=r"no picture of camera 'overhead'.* there is wrist"):
        agent.begin(seen)


def test_pictures_of_another_size_are_resized_and_that_is_told_once(
    run: Path, demos: DemoSet, caplog: pytest.LogCaptureFixture
) -> None:
    agent, seen = Checkpoint.load(run).agent(), raw(demos, slice(0, 2))
    own = agent.observation({**seen, "observation.images.overhead": pictures(2, 32)})
    large = pictures(2, 32).repeat(2, axis=1).repeat(4, axis=2)
    with caplog.at_level(logging.WARNING):
        agent.observation({**seen, "observation.images.overhead": large})
        shrunk = agent.observation({**seen, "observation.images.overhead": large})
    assert torch.equal(own.environment_state, shrunk.environment_state)
    assert [record.getMessage() for record in caplog.records] == [
        "camera 'overhead': pictures of 64 x 128 are resized to 32 x 32, as in training"
    ]


def test_tokens_are_refused_by_a_policy_that_takes_none() -> None:
    class Blind(type(small_act())):
        takes_maps = False

    with pytest.raises(ConfigError, match="tokens for a policy of kind act, which takes none"):
        Blind(eyes=TOKENS)

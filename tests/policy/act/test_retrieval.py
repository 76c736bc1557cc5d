import numpy as np
import pytest
import torch

from outtakes.data.observation import Observation, Sizes
from outtakes.errors import CheckpointError, UnknownName
from outtakes.policy.act.act import ActPolicy
from outtakes.policy.act.retrieval import Bank, retrieval_camera
from tests.demos import make_demos, small_act, train_small

DIRECTIONS = torch.tensor([[1.0, 0.0], [0.0, 2.0], [-3.0, 0.0]])


def make_bank() -> Bank:
    biases = torch.arange(3.0)[:, None, None].expand(3, 5, 5)
    return Bank(DIRECTIONS, biases, torch.tensor([4, 8, 15]))


@pytest.mark.parametrize(
    ("query", "nearest"),
    [([9.0, 5.0], 0), ([0.1, 0.2], 1), ([-1.0, 0.5], 2), ([0.2, -0.1], 0)],
)
def test_the_greatest_cosine_wins_whatever_the_lengths(query, nearest):
    assert make_bank().nearest(torch.tensor([query])).tolist() == [[nearest]]


def test_neighbours_come_nearest_first_and_each_query_has_its_own():
    queries = torch.tensor([[2.0, 1.0], [-2.0, 1.0]])
    assert make_bank().nearest(queries, 2).tolist() == [[0, 1], [2, 1]]
    for count in (0, 3, 99):
        assert make_bank().nearest(queries, count).tolist() == [[0, 1, 2], [2, 1, 0]]


@pytest.mark.parametrize(
    ("steering", "rows"),
    [("nearest", [1]), ("nearest-1", [1]), ("nearest-2", [1, 0]), ("mean", [1, 0, 2])],
)
def test_the_pb_that_steers_is_the_mean_over_the_nearest(steering, rows):
    bank = make_bank()
    bias, episodes = bank.steer(torch.tensor([[1.0, 2.0]]), steering)
    assert torch.allclose(bias[0], bank.biases[rows].mean(dim=0))
    assert episodes.tolist() == [8]


def test_zero_steers_by_no_bias_and_follows_nobody():
    bias, episodes = make_bank().steer(torch.ones(2, 2), "zero")
    assert torch.equal(bias, torch.zeros(2, 5, 5))
    assert episodes.tolist() == [-1, -1]


@pytest.mark.parametrize("steering", ["", "nearst", "nearest-", "nearest-0", "nearest-x", "mean-2"])
def test_an_unknown_steering_is_refused_with_the_list(steering):
    with pytest.raises(UnknownName, match="one of mean, mean-of-all, nearest, nearest-<n>, zero"):
        make_bank().steer(torch.ones(1, 2), steering)


def test_a_bank_without_successes_is_refused():
    with pytest.raises(CheckpointError, match=r"no success .* train on at least one success"):
        Bank(torch.zeros(0, 1), torch.zeros(0, 5, 5), torch.zeros(0, dtype=torch.long))


def test_a_run_without_successes_cannot_act(tmp_path):
    checkpoint = train_small(tmp_path, make_demos(0, 3), steps=1)
    with pytest.raises(CheckpointError, match="no success"):
        checkpoint.agent()


@pytest.mark.parametrize(
    ("cameras", "chosen"),
    [((), ""), (("wrist",), "wrist"), (("wrist", "overhead"), "overhead"), (("b", "a"), "b")],
)
def test_retrieval_looks_through_the_overhead_camera_where_there_is_one(cameras, chosen):
    assert retrieval_camera(cameras) == chosen


def test_the_embedding_is_the_state_or_the_mean_feature_of_the_image():
    blind, seeing = (
        ActPolicy(small_act(cameras=cameras), Sizes(3, 4, 3, 2)) for cameras in ((), ("overhead",))
    )
    image = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    seen = Observation(torch.ones(2, 4), torch.zeros(2, 3), {"overhead": torch.from_numpy(image)})
    assert torch.equal(blind.embed(seen), torch.tensor([[1.0] * 4 + [0.0] * 3] * 2))
    assert seeing.backbone is not None
    features = seeing.backbone(seen.images["overhead"])
    assert torch.allclose(seeing.embed(seen), features.mean(dim=(2, 3)))

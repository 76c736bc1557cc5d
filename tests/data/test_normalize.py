import numpy as np
import torch

from outtakes.data.normalize import Moments, Normalizer
from tests.demos import make_demos


def test_standardised_rows_have_mean_0_and_deviation_1():
    rows = np.random.default_rng(0).normal([3.0, -200.0], [0.5, 40.0], (500, 2)).astype(np.float32)
    standardised = Moments.of(rows).standardise(torch.from_numpy(rows))
    assert torch.allclose(standardised.mean(0), torch.zeros(2), atol=1e-4)
    assert torch.allclose(standardised.std(0, correction=0), torch.ones(2), atol=1e-4)


def test_restoring_inverts_standardising():
    demos = make_demos()
    moments = Moments.of(demos.action)
    action = torch.from_numpy(demos.action)
    assert torch.allclose(moments.restore(moments.standardise(action)), action, atol=1e-6)


def test_the_moments_of_a_subset_are_those_of_a_copy_of_its_rows():
    subset = make_demos().subset([0, 4, 10])
    for name, moments in vars(Normalizer.of(subset)).items():
        copied = Moments.of(np.concatenate([getattr(demo, name) for demo in subset]))
        assert torch.equal(moments.mean, copied.mean)
        assert torch.equal(moments.deviation, copied.deviation)


def test_a_dimension_that_never_moves_is_not_blown_up():
    rows = np.full((10, 1), 0.7, np.float32)
    moments = Moments.of(rows)
    assert abs(float(moments.standardise(torch.tensor([[0.7001]])))) < 0.1


def test_sums_do_not_lose_digits_over_many_rows():
    rows = np.full((200_000, 1), 0.1, np.float32)
    rows[::2] += 1000
    assert abs(float(Moments.of(rows).mean) - 500.1) < 1e-3


def test_the_moments_travel_as_tensors():
    normalizer = Normalizer.of(make_demos())
    again = Normalizer.from_tensors(normalizer.tensors())
    assert set(normalizer.tensors()) == {
        f"{feature}.{moment}"
        for feature in ("state", "environment_state", "action")
        for moment in ("mean", "deviation")
    }
    for name, tensor in normalizer.tensors().items():
        assert torch.equal(again.tensors()[name], tensor)

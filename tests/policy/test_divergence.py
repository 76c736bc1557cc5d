import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from outtakes.policy.divergence import bounded, symmetric_kl
from tests import naive
from tests.demos import gradient_of

finite = st.floats(-20, 20)


@settings(deadline=None)
@given(st.lists(st.tuples(finite, finite), min_size=2, max_size=6))
def test_symmetric_kl_is_a_symmetric_divergence(pairs):
    p, q = torch.tensor(pairs, dtype=torch.float64).T
    forward, backward = symmetric_kl(p, q), symmetric_kl(q, p)
    assert forward >= 0
    assert torch.allclose(forward, backward)
    assert symmetric_kl(p, p + 3.0).abs() < 1e-9
    expected = naive.d_sym(p.softmax(-1).numpy(), q.softmax(-1).numpy())
    assert float(forward) == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_bound_is_identity_near_zero_and_flat_far_away():
    cap = 2.0
    assert float(bounded(torch.tensor(1e-4), cap)) == pytest.approx(1e-4, rel=1e-3)
    far = torch.tensor(40.0, requires_grad=True)
    bounded(far, cap).backward()
    assert float(bounded(far.detach(), cap)) <= cap
    assert float(gradient_of(far)) < 1e-8

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from outtakes.policy.act.attention import Attention
from outtakes.policy.divergence import bounded, symmetric_kl
from outtakes.policy.act.dropout import Dropout
from tests import naive
from tests.demos import gradient_of

finite = st.floats(-20, 20)


def random_attention(width: int = 8, heads: int = 2) -> Attention:
    torch.manual_seed(0)
    return Attention(width, heads, dropout=0.0)


def test_rows_are_distributions():
    layer = random_attention()
    logits = layer.logits(*layer.query_and_key(torch.randn(3, 4, 8)))
    assert torch.allclose(logits.softmax(-1).sum(-1), torch.ones(3, 2, 4))


def test_biased_attention_is_equation_1():
    layer = random_attention()
    query, key, value, pb_q, pb_v = torch.randn(5, 1, 6, 8)
    logits = layer.logits(layer.query(query) + pb_q, layer.key(key))
    output = layer.attend(logits, layer.value(value) + pb_v)
    parameters = naive.parameters_of(layer)
    q, k, v, own_pb_q, own_pb_v = (x[0].double().numpy() for x in (query, key, value, pb_q, pb_v))
    named = {f"a.{name}": array for name, array in parameters.items()}
    expected, weights = naive.multi_head(named, "a", q, k, v, 2, own_pb_q, own_pb_v)
    assert np.allclose(output[0].detach(), expected, atol=1e-5)
    assert np.allclose(logits.softmax(-1)[0].detach(), weights, atol=1e-5)


def test_without_bias_it_is_torch_multi_head_attention():
    layer = random_attention()
    peer = torch.nn.MultiheadAttention(8, 2, batch_first=True)
    parts = (layer.query, layer.key, layer.value)
    with torch.no_grad():
        peer.in_proj_weight.copy_(torch.cat([part.weight for part in parts]))
        peer.in_proj_bias.copy_(torch.cat([part.bias for part in parts]))
        peer.out_proj.weight.copy_(layer.out.weight)
        peer.out_proj.bias.copy_(layer.out.bias)
    query, memory = torch.randn(3, 4, 8), torch.randn(3, 6, 8)
    padding = torch.zeros(3, 6, dtype=torch.bool)
    padding[:, 4:] = True
    logits = layer.logits(layer.query(query), layer.key(memory))
    logits = logits.masked_fill(padding[:, None, None, :], float("-inf"))
    ours = layer.attend(logits, layer.value(memory))
    theirs, _ = peer(query, memory, memory, key_padding_mask=padding)
    assert torch.allclose(ours, theirs, atol=1e-6)


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


def test_stacked_copies_share_a_dropout_mask():
    drop = Dropout(0.5).train()
    x = torch.ones(4, 5).repeat(2, 1)
    dropped = drop(x, torch.Generator().manual_seed(1), copies=2)
    assert torch.equal(dropped[:4], dropped[4:])
    assert 0 < int((dropped == 0).sum()) < dropped.numel()
    assert torch.equal(drop.eval()(x), x)


def test_queries_and_keys_of_the_same_tokens_are_their_own_projections():
    layer, x = random_attention(), torch.randn(3, 4, 8)
    query, key = layer.query_and_key(x)
    assert torch.allclose(query, layer.query(x), atol=1e-6)
    assert torch.allclose(key, layer.key(x), atol=1e-6)


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_dropout_drops_at_its_rate_and_keeps_the_mean(rate):
    x = torch.ones(1000, 201)
    dropped = Dropout(rate).train()(x, torch.Generator().manual_seed(0))
    zeros = float((dropped == 0).float().mean())
    assert zeros == pytest.approx(rate, abs=5 * (rate * (1 - rate) / x.numel()) ** 0.5)
    assert float(dropped.mean()) == pytest.approx(1.0, abs=0.01)
    kept = dropped[dropped != 0]
    assert torch.allclose(kept, torch.full_like(kept, 1 / (1 - rate)), rtol=1e-4)


def test_neighbours_that_share_a_draw_are_dropped_independently():
    zeros = (
        Dropout(0.5).train()(torch.ones(4000, 4), torch.Generator().manual_seed(0)) == 0
    ).float()
    correlation = torch.corrcoef(zeros.T) - torch.eye(4)
    assert float(correlation.abs().max()) < 5 / 4000**0.5

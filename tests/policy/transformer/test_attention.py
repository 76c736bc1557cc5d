import numpy as np
import torch

from outtakes.policy.transformer.attention import Attention
from tests import naive


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


def test_queries_and_keys_of_the_same_tokens_are_their_own_projections():
    layer, x = random_attention(), torch.randn(3, 4, 8)
    query, key = layer.query_and_key(x)
    assert torch.allclose(query, layer.query(x), atol=1e-6)
    assert torch.allclose(key, layer.key(x), atol=1e-6)

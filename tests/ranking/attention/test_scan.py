"""The scan of many PBs finds what running the whole decoder for each of them finds."""

import pytest
import torch

from outtakes.data.observation import Sizes
from outtakes.policy.act.act import ActPolicy
from outtakes.policy.transformer.attention import Attention
from outtakes.policy.transformer.transformer_policy import Memory
from outtakes.ranking.attention.cross_attention import (
    FoldedCrossAttention,
    FullCrossAttention,
    attend_to,
    folds,
)
from outtakes.ranking.attention.scan import AttentionScan, blocks
from tests.demos import bias_of, small_act
from tests.slow_ranking import divergences_of_memory

STEPS, OTHERS = 5, 4
FEW_TOKENS, MANY_TOKENS = 3, 40
ROOMY = 1 << 30


def make_policy(seed: int = 0, **changes) -> ActPolicy:
    """With every constant and norm away from where it starts, so that none can be forgotten."""
    generator = torch.Generator().manual_seed(seed)
    policy = ActPolicy(small_act(alpha_pb=0.7, **changes), Sizes(OTHERS + 1, 4, 3, 2)).eval()
    for parameter in policy.parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        parameter.data = (0.2 * noise + (parameter.dim() == 1)).double()
    return policy


def make_memory(policy: ActPolicy, tokens: int, steps: int = STEPS) -> Memory:
    generator = torch.Generator().manual_seed(1)
    shape, options = (tokens, policy.config.width), {"generator": generator, "dtype": torch.double}
    return Memory(torch.randn(steps, *shape, **options), torch.randn(shape, **options))


def make_biases(policy: ActPolicy, *count: int, scale: float = 1.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(2)
    shape = bias_of(policy).table.shape[1:]
    return scale * torch.randn(*count, *shape, generator=generator, dtype=torch.double)


def scan(policy, memory, own, others, working_set: int = ROOMY) -> torch.Tensor:
    return AttentionScan(policy, working_set).divergences(memory, own, others)


@pytest.mark.parametrize("scale", [1e-3, 1.0])
@pytest.mark.parametrize("tokens", [FEW_TOKENS, MANY_TOKENS])
@pytest.mark.parametrize("layers", [2, 3, 5])
def test_it_finds_what_the_whole_decoder_finds(layers, tokens, scale):
    policy = make_policy(decoder_layers=layers)
    memory = make_memory(policy, tokens)
    own, *others = make_biases(policy, 1 + OTHERS, scale=scale)
    others = torch.stack(others)
    expected = divergences_of_memory(policy, memory, own, others)
    found = scan(policy, memory, own, others[None])
    assert (expected > 0).all()
    assert torch.allclose(found, expected, rtol=1e-9, atol=0)


@pytest.mark.parametrize("tokens", [FEW_TOKENS, MANY_TOKENS])
@pytest.mark.parametrize("working_set", [1, 20_000, ROOMY])
def test_every_time_step_may_have_others_of_its_own(tokens, working_set):
    policy = make_policy()
    memory = make_memory(policy, tokens)
    own, others = make_biases(policy), make_biases(policy, STEPS, OTHERS)
    found = scan(policy, memory, own, others, working_set)
    for t in range(STEPS):
        alone = Memory(memory.tokens[t : t + 1], memory.positions)
        expected = divergences_of_memory(policy, alone, own, others[t])
        assert torch.allclose(found[t], expected[0], rtol=1e-9, atol=0)


@pytest.mark.parametrize("tokens", [FEW_TOKENS, MANY_TOKENS])
@pytest.mark.parametrize("working_set", [1, 10_000, 20_000, 40_000])
def test_how_many_pairs_a_pass_takes_changes_nothing(tokens, working_set):
    policy = make_policy()
    memory, own = make_memory(policy, tokens), make_biases(policy)
    others = make_biases(policy, 1, 7)
    expected = scan(policy, memory, own, others)
    found = scan(policy, memory, own, others, working_set)
    assert torch.allclose(found, expected, rtol=1e-9, atol=0)


def test_single_precision_is_enough_for_near_and_far_biases():
    policy = make_policy(decoder_layers=4)
    for scale in (0.03, 0.3, 3.0):
        memory, own = make_memory(policy.double(), FEW_TOKENS), make_biases(policy, scale=scale)
        others = make_biases(policy, 1, OTHERS + 1, scale=scale)[:, 1:]
        expected = scan(policy, memory, own, others)
        single = Memory(memory.tokens.float(), memory.positions.float())
        found = scan(policy.float(), single, own.float(), others.float())
        assert torch.allclose(found.double(), expected, rtol=1e-5, atol=1e-9)


def test_the_same_bias_is_no_divergence():
    policy = make_policy()
    own = make_biases(policy)
    found = scan(policy, make_memory(policy, FEW_TOKENS), own, own.expand(1, 3, -1, -1))
    assert (found.abs() < 1e-20).all()


@pytest.mark.parametrize("tokens", [1, FEW_TOKENS, MANY_TOKENS])
def test_folded_and_full_cross_attention_are_the_layers_own(tokens):
    policy = make_policy()
    attention, memory = Attention(16, 2, 0.0).double(), make_memory(policy, tokens)
    queries = torch.randn(STEPS, 11, policy.config.width, dtype=torch.double)
    key = attention.key(memory.tokens + memory.positions)
    logits = attention.logits(attention.query(queries), key)
    expected = attention.attend(logits, attention.value(memory.tokens))
    for kind in (FoldedCrossAttention, FullCrossAttention):
        crossing = kind.of(memory, attention)
        assert torch.allclose(crossing.attend(queries), expected, rtol=1e-9)
        some = slice(1, 3)
        assert torch.allclose(crossing.at(some).attend(queries[some]), expected[some], rtol=1e-9)
        shared = crossing.attend(queries[:1])
        each = crossing.attend(queries[:1].expand(STEPS, -1, -1))
        assert torch.allclose(shared, each, rtol=1e-9)
    folded = folds(tokens, policy.config.width, attention.heads)
    kind = FoldedCrossAttention if folded else FullCrossAttention
    assert isinstance(attend_to(memory, attention), kind)


def test_the_token_counts_here_take_both_ways():
    assert folds(FEW_TOKENS, 16, 2) and not folds(MANY_TOKENS, 16, 2)


@pytest.mark.parametrize("at_most", [-1, 0, 1, 3, 10, 99])
@pytest.mark.parametrize("total", [1, 2, 10, 31])
def test_blocks_cover_everything_once_and_are_no_longer_than_asked(total, at_most):
    covered = [i for block in blocks(total, at_most) for i in range(block.start, block.stop)]
    assert covered == list(range(total))
    lengths = [block.stop - block.start for block in blocks(total, at_most)]
    assert max(lengths) <= max(1, at_most)
    assert max(lengths) - min(lengths) <= 1

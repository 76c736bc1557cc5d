import pytest
import torch
from torch import nn

from outtakes.data.observation import Sizes
from outtakes.policy.act.act import ActPolicy
from outtakes.policy.policy import Policy
from outtakes.training.optimizer import Optimizer, RowAdam, schedule
from tests.demos import bias_of, small_act
from tests.policy.toy import ToyConfig


def make_table(rows: int = 4) -> nn.Parameter:
    return nn.Parameter(torch.randn(rows, 3, 2, generator=torch.Generator().manual_seed(0)))


def gradients(steps: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(4, 3, 2, generator=generator) for _ in range(steps)]


def test_rows_present_at_every_step_move_as_under_adam():
    table, reference = make_table(), make_table()
    rows, adam = RowAdam(table), torch.optim.Adam([reference], lr=0.01)
    for gradient in gradients(30):
        table.grad, reference.grad = gradient.clone(), gradient.clone()
        rows.step(torch.ones(4, dtype=torch.bool), 0.01)
        adam.step()
    assert torch.allclose(table, reference, atol=1e-6)


def test_an_absent_row_stays_bitwise_where_it_is_whatever_its_gradient_and_momentum():
    table = make_table()
    rows = RowAdam(table)
    table.grad = gradients(1)[0]
    rows.step(torch.ones(4, dtype=torch.bool), 0.01)
    before = [t.detach().clone() for t in (table, rows.first, rows.second, rows.steps)]
    present = torch.tensor([True, False, True, False])
    for gradient in gradients(5):
        table.grad = gradient
        rows.step(present, 0.01)
    for old, new in zip(before, (table, rows.first, rows.second, rows.steps), strict=True):
        assert torch.equal(old[~present], new[~present])
        assert not torch.equal(old[present], new[present])


def test_a_row_seen_now_and_then_moves_as_if_the_other_steps_had_not_been():
    often, rarely = make_table(), make_table()
    on_often, on_rarely = RowAdam(often), RowAdam(rarely)
    for step, gradient in enumerate(gradients(12)):
        rarely.grad = gradient.clone()
        on_rarely.step(torch.full((4,), step % 3 == 0), 0.01)
        if step % 3 == 0:
            often.grad = gradient.clone()
            on_often.step(torch.ones(4, dtype=torch.bool), 0.01)
    assert torch.equal(often, rarely)


def test_the_gradient_is_used_up_and_without_one_nothing_moves():
    table = make_table()
    rows = RowAdam(table)
    table.grad = gradients(1)[0]
    rows.step(torch.ones(4, dtype=torch.bool), 0.01)
    assert table.grad is None
    before = table.detach().clone()
    rows.step(torch.ones(4, dtype=torch.bool), 0.01)
    assert torch.equal(table, before)


def changes(policy: Policy, gradient: float, used: torch.Tensor) -> dict[str, torch.Tensor]:
    """What a step at rate 0.1 and decay 0.5 adds to each parameter, under equal gradients."""
    before = {name: p.detach().clone() for name, p in policy.named_parameters()}
    optimizer = Optimizer([policy], learning_rate=0.1, weight_decay=0.5)
    gradients = {n: torch.full_like(p, gradient) for n, p in optimizer.stacked().items()}
    optimizer.take(gradients, clip=1e9)
    optimizer.step(1.0, used[None])
    return {name: p.detach() - before[name] for name, p in policy.named_parameters()}


ALL = torch.ones(4, dtype=torch.bool)
SIZES = Sizes(4, 4, 3, 2)


def test_each_group_has_its_rate_and_absent_rows_of_a_table_stay():
    policy, used = ToyConfig().build(SIZES), torch.tensor([True, False, True, False])
    weights = policy.get_parameter("line.weight").detach().clone()
    moved = changes(policy, 1.0, used)
    # The first step of Adam is the rate, whatever the gradient.
    decayed = -0.1 - 0.1 * 0.5 * weights
    assert torch.allclose(moved["line.weight"], decayed, atol=1e-6)
    assert torch.allclose(moved["gain"], torch.full((2,), -0.5 * 0.1), atol=1e-6)
    assert torch.allclose(moved["offsets"][used], torch.full((2, 2), -0.3), atol=1e-6)
    assert torch.equal(moved["offsets"][~used], torch.zeros(2, 2))


def test_what_does_not_decay_stays_without_a_gradient():
    policy = ToyConfig().build(SIZES)
    nn.init.normal_(policy.get_parameter("offsets"))
    moved = changes(policy, 0.0, ALL)
    still = {name for name, change in moved.items() if not change.any()}
    assert still == {"gain", "offsets"}


def test_groups_that_are_alike_are_stepped_as_one():
    networks = Optimizer([ToyConfig().build(SIZES)], 0.1, 0.5).networks
    assert [group.names for group, _ in networks] == [{"line.weight", "line.bias"}, {"gain"}]


def test_the_gradient_of_a_table_is_not_clipped_with_the_networks():
    optimizer = Optimizer([ToyConfig().build(SIZES)], 0.1, 0.5)
    gradients = {name: torch.ones_like(p) for name, p in optimizer.stacked().items()}
    norm = optimizer.take(gradients, clip=0.5)
    # 8 weights, 2 constants and 2 gains.
    assert norm.tolist() == pytest.approx([12**0.5])
    _, rows = optimizer.tables["offsets"]
    assert rows.table.grad is not None
    assert torch.equal(rows.table.grad, torch.ones(4, 2))


def test_weight_decay_shrinks_the_network_but_never_the_bias_table():
    policy = ActPolicy(small_act(), SIZES)
    nn.init.normal_(bias_of(policy).table)
    before = {name: p.detach().clone() for name, p in policy.named_parameters()}
    for name, change in changes(policy, 0.0, ALL).items():
        factor = 0.0 if name == "bias.table" else -0.1 * 0.5
        assert torch.allclose(change, factor * before[name], atol=1e-6), name


def test_the_backbone_has_a_rate_of_its_own():
    policy = ActPolicy(small_act(cameras=("overhead",), backbone_scale=0.1), SIZES)
    before = {name: p.detach().clone() for name, p in policy.named_parameters()}
    for name, change in changes(policy, 0.0, ALL).items():
        if name == "bias.table":
            continue
        rate = 0.1 * (0.1 if name.startswith("backbone.") else 1.0)
        assert torch.allclose(change, -rate * 0.5 * before[name], atol=1e-6), name


def test_a_step_is_the_step_of_torchs_own_adamw_and_clipping():
    ours, theirs = (ActPolicy(small_act(condition="none"), SIZES) for _ in range(2))
    theirs.load_state_dict(ours.state_dict())
    optimizer = Optimizer([ours], learning_rate=1e-2, weight_decay=0.01)
    peer = torch.optim.AdamW(theirs.parameters(), lr=1e-2, weight_decay=0.01)
    generator = torch.Generator().manual_seed(0)
    for scale in (0.01, 10.0):
        gradients = {
            name: scale * torch.randn(p.shape, generator=generator)
            for name, p in theirs.named_parameters()
        }
        for name, parameter in theirs.named_parameters():
            parameter.grad = gradients[name].clone()
        expected = torch.nn.utils.clip_grad_norm_(theirs.parameters(), 1.0)
        peer.step()
        norm = optimizer.take(gradients, clip=1.0)
        optimizer.step(1.0)
        assert torch.allclose(norm, expected)
    for (name, mine), other in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        assert torch.allclose(mine, other, atol=1e-6), name


@pytest.mark.parametrize(
    ("step", "kind", "expected"),
    [
        (0, "constant", 0.25),
        (3, "constant", 1.0),
        (99, "constant", 1.0),
        (0, "cosine", 0.25),
        (4, "cosine", 1.0),
        (54, "cosine", 0.5),
        (104, "cosine", 0.0),
    ],
)
def test_the_rate_warms_up_then_stays_or_falls_like_a_cosine(step, kind, expected):
    assert schedule(step, steps=104, warmup=4, kind=kind) == pytest.approx(expected)


def test_without_warm_up_the_first_step_has_the_full_rate():
    assert schedule(0, steps=10, warmup=0, kind="cosine") == 1.0
    assert schedule(5, steps=5, warmup=5, kind="cosine") == 1.0

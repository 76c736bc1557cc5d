import pytest
import torch

from outtakes.policy.transformer.dropout import Dropout


def test_stacked_copies_share_a_dropout_mask():
    drop = Dropout(0.5).train()
    x = torch.ones(4, 5).repeat(2, 1)
    dropped = drop(x, torch.Generator().manual_seed(1), copies=2)
    assert torch.equal(dropped[:4], dropped[4:])
    assert 0 < int((dropped == 0).sum()) < dropped.numel()
    assert torch.equal(drop.eval()(x), x)


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

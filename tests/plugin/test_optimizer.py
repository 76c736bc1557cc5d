"""The optimiser that LeRobot builds, beside the core's and torch's."""

from __future__ import annotations

from pathlib import Path

import torch
from lerobot.optim import load_optimizer_state, save_optimizer_state
from torch import nn

from lerobot_policy_outtakes import OuttakesAdamWConfig
from lerobot_policy_outtakes.optimizer_config import ROWS, RowwiseAdamW
from outtakes.training.optimizer import RowAdam


def parameters() -> tuple[nn.Parameter, nn.Parameter]:
    """A weight and a table of four rows."""
    generator = torch.Generator().manual_seed(0)
    weight = nn.Parameter(torch.randn(3, generator=generator))
    return weight, nn.Parameter(torch.randn(4, 2, generator=generator))


def build(weight: nn.Parameter, table: nn.Parameter) -> RowwiseAdamW:
    config = OuttakesAdamWConfig(lr=0.1, weight_decay=0.5)
    groups = [{"params": [weight]}, {"params": [table], "lr": 0.2, "weight_decay": 0.0, ROWS: True}]
    return config.build(groups)


def gradients(step: int, weight: nn.Parameter, table: nn.Parameter) -> torch.Tensor:
    """Lay gradients at every place but for one row of the table; returns the rows seen."""
    generator = torch.Generator().manual_seed(step)
    weight.grad = torch.randn(3, generator=generator)
    table.grad = torch.randn(4, 2, generator=generator)
    table.grad[step % 4] = 0
    return torch.arange(4) != step % 4


def test_tables_move_as_in_the_core_and_the_rest_as_in_torch():
    (weight, table), (own_weight, own_table) = parameters(), parameters()
    optimizer = build(weight, table)
    network = torch.optim.AdamW([own_weight], lr=0.1, weight_decay=0.5)
    rows = RowAdam(own_table)
    for step in range(8):
        gradients(step, weight, table)
        before = table.detach().clone()
        optimizer.step()
        rows.step(gradients(step, own_weight, own_table), 0.2)
        network.step()
        assert torch.equal(table[step % 4], before[step % 4])
        assert torch.equal(table, own_table) and torch.equal(weight, own_weight)


def test_a_state_that_lerobot_saved_and_loaded_goes_on_bit_for_bit(tmp_path: Path):
    (weight, table), (again, table_again) = parameters(), parameters()
    unbroken = build(weight, table)
    for step in range(3):
        gradients(step, weight, table)
        unbroken.step()
    save_optimizer_state(unbroken, tmp_path)
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".safetensors"}
    with torch.no_grad():
        again.copy_(weight)
        table_again.copy_(table)
    resumed = build(again, table_again)
    load_optimizer_state(resumed, tmp_path)
    for step in range(3, 6):
        for optimizer, own in ((unbroken, (weight, table)), (resumed, (again, table_again))):
            gradients(step, *own)
            optimizer.step()
    assert torch.equal(table, table_again) and torch.equal(weight, again)


def test_loading_into_an_optimiser_that_has_stepped_replaces_its_moments(tmp_path: Path):
    weight, table = parameters()
    optimizer = build(weight, table)
    gradients(0, weight, table)
    optimizer.step()
    save_optimizer_state(optimizer, tmp_path)
    first = {name: moment.clone() for name, moment in optimizer.state[table].items()}
    gradients(1, weight, table)
    optimizer.step()
    load_optimizer_state(optimizer, tmp_path)
    gradients(2, weight, table)
    optimizer.step()
    assert (
        optimizer.state[table]["step"].tolist() == (first["step"] + (torch.arange(4) != 2)).tolist()
    )


def test_a_closure_is_called_once_and_its_loss_returned():
    weight, table = parameters()
    optimizer = build(weight, table)
    calls = []

    def closure() -> torch.Tensor:
        calls.append(0)
        loss = (weight.sum() + table[1].sum()) ** 2
        loss.backward()
        return loss

    before = table.detach().clone()
    assert optimizer.step(closure) > 0 and len(calls) == 1
    assert (table != before).any(dim=1).tolist() == [False, True, False, False]

"""LeRobot's way to our optimiser: AdamW, under which absent rows of the PB table do not move."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from lerobot.optim.optimizers import OptimizerConfig, OptimizerParams
from torch import Tensor, nn

from outtakes.training.optimizer import RowAdam

ROWS = "rows"
"""Key that marks a group of parameters as tables of which each step sees a few rows."""


@OptimizerConfig.register_subclass("outtakes_adamw")
@dataclass
class OuttakesAdamWConfig(OptimizerConfig):
    """AdamW; a group with `rows: True` is moved by `RowAdam`."""

    lr: float = 1e-5
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 1e-4
    grad_clip_norm: float = 10.0

    def build(self, params: OptimizerParams) -> RowwiseAdamW:
        """The optimiser of these parameters, or groups of them."""
        return RowwiseAdamW(
            params, lr=self.lr, betas=self.betas, eps=self.eps, weight_decay=self.weight_decay
        )


class RowwiseAdamW(torch.optim.AdamW):
    """AdamW (Loshchilov & Hutter 2019), and `RowAdam` on the groups that are marked `rows`.

    A row counts as seen by a step when its gradient is not zero, which holds with gradients
    accumulated or gathered from several processes, too.
    """

    def __init__(self, params: Any, **settings: Any) -> None:
        self._row_adams: dict[nn.Parameter, RowAdam] = {}
        super().__init__(params, **settings)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Move along the gradients; those of tables are cleared."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for table in group["params"] if group.get(ROWS) else ():
                if table.grad is not None:
                    seen = table.grad.flatten(1).any(dim=1)
                    self._row_adam(table, group).step(seen, group["lr"])
        super().step()  # passes over what has no gradient
        return loss

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Put the moments back where they were when `state_dict` was called."""
        super().load_state_dict(state_dict)
        self._row_adams.clear()

    def _row_adam(self, table: nn.Parameter, group: Mapping[str, Any]) -> RowAdam:
        """The table's own optimiser, whose moments are this optimiser's state."""
        if table not in self._row_adams:
            adam = RowAdam(table, group["betas"], group["eps"])
            own = {"exp_avg": adam.first, "exp_avg_sq": adam.second, "step": adam.steps}
            found: dict[str, Tensor] = self.state[table]
            for name, moment in own.items():
                if name in found:
                    moment.copy_(found[name])
                found[name] = moment
            self._row_adams[table] = adam
        return self._row_adams[table]

"""The exponential moving average of weights, by which a policy may act."""

from __future__ import annotations

import torch
from torch import Tensor

from outtakes.training.optimizer import Optimizer


class MovingAverage:
    """Average of everything that an optimiser moves, over the latest steps.

    m ← d m + (1 − d) θ after step t = 1, 2, ... with d = min(decay, t / (t + 9)), so that a short
    run is not averaged with where it started (as in TensorFlow's `ExponentialMovingAverage`).

    Args:
        optimizer: of n policies, whose parameters to average.
        decay: the greatest d, in (0, 1).
    """

    def __init__(self, optimizer: Optimizer, decay: float) -> None:
        self.optimizer, self.decay = optimizer, decay
        self.averages = [values.detach().clone() for values in optimizer.values()]
        self.steps = self.averages[0].new_zeros(())

    @torch.no_grad()
    def update(self) -> None:
        """Take the weights as they are after a step into the average."""
        self.steps += 1
        share = (9 / (self.steps + 9)).clamp(min=1 - self.decay)
        for average, values in zip(self.averages, self.optimizer.values(), strict=True):
            average.lerp_(values, share)

    def state(self) -> list[Tensor]:
        """Everything that a step changes."""
        return [*self.averages, self.steps]

    def tensors(self, policy: int) -> dict[str, Tensor]:
        """The averages of one policy: by the name of the parameter, and `steps`."""
        return {**self.weights(policy), "steps": self.steps}

    def weights(self, policy: int) -> dict[str, Tensor]:
        """The averages of one policy by the name of the parameter."""
        return self.optimizer.named(self.averages, policy)

    def restore(self, policy: int, tensors: dict[str, Tensor]) -> None:
        """Put the averages of one policy back."""
        for name, own in self.tensors(policy).items():
            own.copy_(tensors[name])

"""The state of training between steps: of one policy, or of several that share every product."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from outtakes.data.batches import Batch, DeviceDemos, Sampler, stack_samples
from outtakes.data.demo import DemoSet
from outtakes.data.normalize import Normalizer
from outtakes.data.observation import Sizes
from outtakes.policy.act import ActConfig, ActPolicy
from outtakes.policy.loss import Loss, LossConfig, compute_loss
from outtakes.policy.retrieval import embed, retrieval_camera
from outtakes.training.checkpoint import Checkpoint
from outtakes.training.config import TrainConfig
from outtakes.training.optimizer import Optimizer, schedule


def can_stack(act: ActConfig) -> bool:
    """Whether several seeds of such a policy can train as one program.

    Nothing random may happen inside the step, and convolutions gain nothing by it.
    """
    return not (act.cameras or act.use_vae or act.dropout)


class Learner:
    """Policies of several seeds, the data and the optimiser.

    Args:
        demos: demonstrations to train on.
        act: shape of the policies.
        loss: weights of the loss.
        config: length and rates.
        seeds: one policy each; more than one only where `can_stack`.
        device: where to train.
    """

    def __init__(
        self,
        demos: DemoSet,
        act: ActConfig,
        loss: LossConfig,
        config: TrainConfig,
        seeds: Sequence[int],
        device: torch.device,
    ) -> None:
        self.demos, self.act, self.loss = demos, act, loss
        self.config, self.seeds, self.device = config, tuple(seeds), device
        self.sizes = Sizes(
            len(demos),
            demos.state.shape[1],
            demos.environment_state.shape[1],
            demos.action.shape[1],
        )
        self.policies = [self._fresh_policy(seed) for seed in seeds]
        self.normalizer = Normalizer.of(demos)
        self.data = DeviceDemos(demos, self.normalizer, act.cameras, device)
        self.samplers = [
            Sampler(demos, seed=seed, batch_size=config.batch_size, balanced=config.balanced)
            for seed in seeds
        ]
        self.separate = (
            act.condition == "pb"
            and loss.kl_weight > 0
            and 0 < int(demos.successes.sum()) < len(demos)
        )
        self.optimizer = Optimizer(self.policies, config.weight_decay, config.backbone_scale)
        self._parameters = self._leaves()
        self._losses = _LossOf(self.policies[0], loss, self.separate)
        self.generator = torch.Generator(device)
        self.step = 0

    def _fresh_policy(self, seed: int) -> ActPolicy:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return ActPolicy(self.act, self.sizes).to(self.device).train()

    def _leaves(self) -> dict[str, Tensor]:
        """What the loss is differentiated by: one policy's own parameters, or stacks of them."""
        if len(self.policies) == 1:
            return dict(self.policies[0].named_parameters())
        return self.optimizer.stacked()

    @property
    def rate(self) -> float:
        """Learning rate of the network at this step."""
        return self.config.learning_rate * self._fraction()

    def _fraction(self) -> float:
        config = self.config
        return schedule(self.step, config.steps, config.warmup, config.schedule)

    def differentiate(self, batch: Batch) -> tuple[Loss, Tensor]:
        """Find the losses of this step's batch and their gradients; nothing moves yet.

        Returns:
            The loss and its parts, (n,) each, and whether each policy's loss and gradient are
            finite, (n,) bool.
        """
        loss = self._loss(batch)
        gradients = torch.autograd.grad(
            loss.total.sum(), list(self._parameters.values()), allow_unused=True
        )
        named = dict(zip(self._parameters, gradients, strict=True))
        norm = self.optimizer.take(named, self.config.clip)
        return loss, torch.isfinite(loss.total.detach() + norm)

    def move(self, batch: Batch) -> None:
        """Step along the gradients that were found for a batch."""
        rate, pb_rate = self.rate, self.config.pb_learning_rate * self._fraction()
        rows = None if self.optimizer.rows is None else self._rows_used(batch)
        self.optimizer.step(rate, pb_rate, rows)
        self.step += 1

    def batch(self, step: int) -> Batch:
        """The batch of a step: of the one policy, or (n, B, ...) of several."""
        draws = [sampler.draw(step) for sampler in self.samplers]
        if len(draws) == 1:
            return self.data.batch(draws[0], self.act.chunk)
        return self.data.batch(stack_samples(draws), self.act.chunk)

    def _loss(self, batch: Batch) -> Loss:
        """(n,) of each part."""
        if len(self.policies) > 1:
            with self._precision():
                parts = _of_each(self._losses, self._parameters, batch)
            return Loss(*parts)
        # Noise is a function of (seed, step), so a resumed run draws what an unbroken one does.
        self.generator.manual_seed(
            int(np.random.SeedSequence([self.seeds[0], 2, self.step]).generate_state(1)[0])
        )
        with self._precision():
            loss = compute_loss(
                self.policies[0],
                batch,
                self.loss,
                separate=self.separate,
                generator=self.generator,
            )
        return Loss(*(part[None] for part in loss.parts()))

    def _precision(self) -> AbstractContextManager:
        return torch.autocast(
            self.device.type, torch.bfloat16, enabled=self.config.precision == "bf16"
        )

    def _rows_used(self, batch: Batch) -> Tensor:
        """(n, N) bool: the PB rows each policy's batch used, in either role."""
        policies = len(self.policies)
        used = torch.zeros(policies, self.sizes.demos, dtype=torch.bool, device=self.device)
        used.scatter_(1, batch.demo.view(policies, -1), True)
        if self.separate:
            used.scatter_(1, batch.other_demo.view(policies, -1), True)
        return used

    def episodes_of(self, policy: int, step: int) -> list[int]:
        """Episode indices of a policy's batch at a step, for messages."""
        demos = self.samplers[policy].draw(step).demo
        return sorted({int(e) for e in self.demos.episode_indices[demos]})

    def tensors(self, policy: int) -> dict[str, Tensor]:
        """Everything one policy needs to go on, to rank or to act, named by owner."""
        own = self.policies[policy]
        tensors = {
            **_prefixed("policy", own.state_dict()),
            **self.optimizer.tensors(policy),
            **_prefixed("normalizer", self.normalizer.tensors()),
        }
        if own.bias is not None:
            tensors |= _prefixed("bank", self._bank_tensors(own))
        # A parameter is a view of its buffer, of which only its own part is to be written.
        return {name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}

    def _bank_tensors(self, policy: ActPolicy) -> dict[str, Tensor]:
        """First-observation embeddings, PBs and episode indices of the successes (Sec. 3.3)."""
        assert policy.bias is not None
        rows = np.flatnonzero(self.demos.successes)
        device_rows = torch.from_numpy(rows).to(self.device)
        embeddings = [self._embed_row(policy, row) for row in self.data.starts[device_rows]]
        return {
            "embeddings": torch.cat(embeddings) if embeddings else torch.zeros(0, 1),
            "biases": policy.bias.rows(device_rows),
            "episodes": torch.from_numpy(self.demos.episode_indices[rows]),
        }

    def _embed_row(self, policy: ActPolicy, row: Tensor) -> Tensor:
        return embed(policy, self.data.observe(row[None]), retrieval_camera(self.act))

    def restore(self, policy: int, checkpoint: Checkpoint) -> None:
        """Put one policy back where its checkpoint left it."""
        self.policies[policy].load_state_dict(checkpoint.owned("policy"))
        self.optimizer.restore(policy, checkpoint.owned("adamw"), checkpoint.owned("rows"))
        self.step = checkpoint.step


class _LossOf(nn.Module):
    """The loss as a module's forward pass, which is what can be called with other parameters."""

    def __init__(self, policy: ActPolicy, config: LossConfig, separate: bool) -> None:
        super().__init__()
        self.policy, self.config, self.separate = policy, config, separate

    def forward(self, tensors: dict[str, Any]) -> tuple[Tensor, ...]:
        """The parts of one policy's loss on the batch of these tensors."""
        batch = Batch.of(tensors)
        return compute_loss(self.policy, batch, self.config, separate=self.separate).parts()


def _of_each(losses: _LossOf, parameters: dict[str, Tensor], batch: Batch) -> tuple[Tensor, ...]:
    """The parts of the loss of every policy, (n,) each, from (n, ...) parameters and batches."""
    named = _prefixed("policy", parameters)

    def of_one(own: dict[str, Tensor], samples: dict[str, Any]) -> tuple[Tensor, ...]:
        return functional_call(losses, own, (samples,))

    return vmap(of_one)(named, batch.tensors())


def _prefixed(owner: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"{owner}.{name}": tensor for name, tensor in tensors.items()}

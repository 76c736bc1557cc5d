"""The state of training between steps: of one policy, or of several that share every product."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from outtakes.data.batches import Batch, DeviceDemos, Sampler, Samples, stack_samples
from outtakes.data.demo import DemoSet
from outtakes.data.normalize import Normalizer
from outtakes.data.observation import Sizes
from outtakes.policy.checkpoint import Checkpoint
from outtakes.policy.eyes.sight import Sight
from outtakes.policy.policy import Losses, Policy, PolicyConfig, Successes
from outtakes.training.average import MovingAverage
from outtakes.training.config import TrainConfig
from outtakes.training.optimizer import Optimizer, schedule


class Learner:
    """Policies of several seeds, the data and the optimiser.

    Args:
        demos: demonstrations to train on; where the policy has frozen eyes, with their features.
        policy: settings of the policies.
        config: length and rates.
        seeds: one policy each; more than one only where the policy is `stackable`.
        device: where to train.
        start: of each seed the run to start from: its weights, its normaliser and its eyes.

    Raises:
        CheckpointError: when a run to start from is of another kind or shape.
    """

    def __init__(
        self,
        demos: DemoSet,
        policy: PolicyConfig,
        config: TrainConfig,
        seeds: Sequence[int],
        device: torch.device,
        start: Sequence[Checkpoint] = (),
    ) -> None:
        self.policy = policy
        self.config, self.seeds, self.device = config, tuple(seeds), device
        self.sight = start[0].sight() if start else _sight_of(policy, demos)
        self.demos = demos = demos if self.sight is None else self.sight.seen(demos)
        tasks = list(demos.by_task())
        self.tasks = tuple(tasks) if len(tasks) > 1 else ()
        self.sizes = Sizes(
            len(demos),
            demos.state.shape[1],
            demos.environment_state.shape[1],
            demos.action.shape[1],
            0 if policy.eyes is None else policy.eyes.map_channels,
            len(self.tasks),
        )
        self.policies = [self._fresh_policy(seed) for seed in seeds]
        for own, before in zip(self.policies, start, strict=False):
            own.start_from(before.weights())
        # Runs of all seeds that started one experiment have one normaliser.
        self.normalizer = start[0].normalizer() if start else Normalizer.of(demos)
        maps = {} if self.sight is None else self.sight.maps
        self.data = DeviceDemos(demos, self.normalizer, policy.cameras, device, maps, self.tasks)
        self.samplers = [
            Sampler(
                demos,
                seed=seed,
                batch_size=config.batch_size,
                balanced=config.balanced,
                successes_from=config.steps - config.finish if config.finish else None,
            )
            for seed in seeds
        ]
        self.optimizer = Optimizer(self.policies, config.learning_rate, config.weight_decay)
        self.average = MovingAverage(self.optimizer, config.ema) if config.ema else None
        self._parameters = self._leaves()
        self._losses = _LossesOf(self.policies[0], self.data.paired)
        self.generators = [torch.Generator(device) for _ in seeds]
        self.step = 0

    def _fresh_policy(self, seed: int) -> Policy:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return self.policy.build(self.sizes).to(self.device).train()

    def _leaves(self) -> dict[str, Tensor]:
        """What the loss is differentiated by: one policy's own parameters, or stacks of them."""
        if len(self.policies) == 1:
            return dict(self.policies[0].named_parameters())
        return self.optimizer.stacked()

    @property
    def rate(self) -> float:
        """Learning rate of the network at this step."""
        return self.config.learning_rate * self.fraction

    @property
    def fraction(self) -> float:
        """Share of the peak rates at this step."""
        config = self.config
        return schedule(self.step, config.steps, config.warmup, config.schedule)

    def differentiate(self, batch: Batch) -> tuple[Losses, Tensor]:
        """Find the losses of this step's batch and their gradients; nothing moves yet.

        Returns:
            The loss and its parts, (n,) each, and whether each policy's loss and gradient are
            finite, (n,) bool.
        """
        self.seed_noise()
        return self.gradients(batch)

    def seed_noise(self) -> None:
        """Make the noise of this step a function of (seed, step), so that a resumed run draws what
        an unbroken one does."""
        for seed, generator in zip(self.seeds, self.generators, strict=True):
            words = np.random.SeedSequence([seed, 2, self.step])
            generator.manual_seed(int(words.generate_state(1)[0]))

    def gradients(self, batch: Batch) -> tuple[Losses, Tensor]:
        """What `differentiate` finds, under the noise as it is seeded."""
        losses = self._losses_of(batch)
        gradients = torch.autograd.grad(
            losses.total.sum(), list(self._parameters.values()), allow_unused=True
        )
        named = dict(zip(self._parameters, gradients, strict=True))
        norm = self.optimizer.take(named, self.config.clip)
        return losses, torch.isfinite(losses.total.detach() + norm)

    def move(self, batch: Batch) -> None:
        """Step along the gradients that were found for a batch."""
        self.apply(batch, self.fraction)
        self.step += 1

    def apply(self, batch: Batch, fraction: float | Tensor) -> None:
        """What `move` does, at this fraction of the peak rates; the step is not counted."""
        used = self._rows_used(batch) if self.optimizer.tables else None
        self.optimizer.step(fraction, used)
        if self.average is not None:
            self.average.update()

    def state(self) -> list[Tensor]:
        """Everything that a step changes."""
        averages = [] if self.average is None else self.average.state()
        return self.optimizer.state() + averages

    def advance(self) -> tuple[Losses, Tensor]:
        """Take one step; what `differentiate` found."""
        batch = self.batch(self.step)
        found = self.differentiate(batch)
        self.move(batch)
        return found

    def draw(self, step: int) -> Samples:
        """The samples of a step: of the one policy, or (n, B) of several."""
        draws = [sampler.draw(step) for sampler in self.samplers]
        return draws[0] if len(draws) == 1 else stack_samples(draws)

    def batch(self, step: int) -> Batch:
        """The batch of a step: of the one policy, or (n, B, ...) of several."""
        return self.data.batch(self.draw(step), self.policy.chunk)

    def _losses_of(self, batch: Batch) -> Losses:
        """The losses of the policies, (n,) of each part."""
        batch = replace(batch, noise=self._noise())
        if len(self.policies) > 1:
            with self._precision():
                return Losses(*_of_each(self._losses, self._parameters, batch))
        with self._precision():
            losses = self.policies[0].losses(batch, self.generators[0])
        parts = {name: part[None] for name, part in losses.parts.items()}
        return Losses(losses.total[None], parts)

    def _noise(self) -> dict[str, Tensor]:
        """What the losses need at random: of the one policy, or (n, ...) of several."""
        draws = [
            policy.draw_noise(self.config.batch_size, generator)
            for policy, generator in zip(self.policies, self.generators, strict=True)
        ]
        if len(draws) == 1:
            return draws[0]
        return {name: torch.stack([own[name] for own in draws]) for name in draws[0]}

    def _precision(self) -> AbstractContextManager:
        return torch.autocast(
            self.device.type, torch.bfloat16, enabled=self.config.precision == "bf16"
        )

    def _rows_used(self, batch: Batch) -> Tensor:
        """(n, N) bool: the rows of row-wise tables that each policy's batch used."""
        n = len(self.policies)
        used = torch.zeros(n, self.sizes.demos, dtype=torch.bool, device=self.device)
        return used.scatter_(1, self.policies[0].demonstrations_used(batch).view(n, -1), True)

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
            **({} if self.sight is None else _prefixed("eyes", self.sight.tensors())),
            **_prefixed("memory", self._acting(policy).memory(self._successes())),
        }
        if self.average is not None:
            tensors |= _prefixed("ema", self.average.tensors(policy))
        # A parameter is a view of its buffer, of which only its own part is to be written.
        return {name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}

    def _acting(self, policy: int) -> Policy:
        """One policy with the weights it acts by."""
        own = self.policies[policy]
        if self.average is None:
            return own
        acting = copy.deepcopy(own)
        acting.load_state_dict(self.average.weights(policy), strict=False)
        return acting

    def _successes(self) -> Successes:
        """The successes trained on, for a policy to remember."""
        rows = np.flatnonzero(self.demos.successes)
        device_rows = torch.from_numpy(rows).to(self.device)
        return Successes(
            first=(self.data.observe(row[None]) for row in self.data.starts[device_rows]),
            rows=device_rows,
            episodes=torch.from_numpy(self.demos.episode_indices[rows]),
        )

    def restore(self, policy: int, checkpoint: Checkpoint) -> None:
        """Put one policy back where its checkpoint left it."""
        self.policies[policy].load_state_dict(checkpoint.owned("policy"))
        self.optimizer.restore(policy, checkpoint.owned("adamw"), checkpoint.owned("rows"))
        if self.average is not None:
            self.average.restore(policy, checkpoint.owned("ema"))
        self.step = checkpoint.step


def _sight_of(policy: PolicyConfig, demos: DemoSet) -> Sight | None:
    return None if policy.eyes is None else Sight.fit(policy.eyes, demos)


class _LossesOf(nn.Module):
    """The loss as a module's forward pass, which is what can be called with other parameters."""

    def __init__(self, policy: Policy, paired: bool) -> None:
        super().__init__()
        self.policy, self.paired = policy, paired

    def forward(self, tensors: dict[str, Any]) -> tuple[Tensor, Mapping[str, Tensor]]:
        """The loss of one policy on the batch of these tensors, and its parts."""
        losses = self.policy.losses(Batch.of(tensors, paired=self.paired))
        return losses.total, losses.parts


def _of_each(
    losses: _LossesOf, parameters: dict[str, Tensor], batch: Batch
) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss of every policy and its parts, (n,) each, from (n, ...) parameters and batches."""

    def of_one(own: dict[str, Tensor], samples: dict[str, Any]) -> tuple[Tensor, dict[str, Tensor]]:
        return functional_call(losses, own, (samples,))

    return vmap(of_one)(_prefixed("policy", parameters), batch.tensors())


def _prefixed(owner: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"{owner}.{name}": tensor for name, tensor in tensors.items()}

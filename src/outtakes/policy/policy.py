"""What a policy is to training, ranking and rollouts, whatever its family.

A family is a folder beside this file: a frozen `PolicyConfig` that builds its `Policy`. Nothing
outside the folder knows which family it deals with; `outtakes.policy.kinds` knows their names.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from outtakes.data.batches import Batch
from outtakes.data.observation import Observation, Sizes
from outtakes.errors import CheckpointError, ConfigError, DatasetError, UnknownName
from outtakes.policy.eyes.frozen import FrozenEyes
from outtakes.shapes import Float, Int

NOT_STORED = {"stored": False}
"""Metadata of a config's field that says where training starts, not what is trained: it is not
kept in the checkpoint."""


@dataclass(frozen=True)
class Losses:
    """The loss of a batch and its parts: scalars, or (n,) for n policies."""

    total: Tensor
    """What is minimised."""
    parts: Mapping[str, Tensor]
    """What it is made of, by the name it is logged under, for example "loss/action_l1"."""


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters that the optimiser treats alike."""

    names: frozenset[str]
    """As `named_parameters` calls them."""
    scale: float = 1.0
    """Learning rate as a fraction of the training's."""
    rate: float | None = None
    """A peak learning rate of their own instead."""
    decays: bool = True
    """Whether weight decay acts on them."""
    rowwise: bool = False
    """Whether each is a table with a row for every demonstration. Only rows that a batch uses
    then move, and their gradient is not clipped with the network's."""


@dataclass(frozen=True)
class Steering:
    """What a policy is told for a whole episode, chosen at its first observation."""

    condition: Tensor | None
    """(B, ...) what steers each row; None when nothing does."""
    episodes: np.ndarray
    """(B,) int64 episode index of the demonstration each row follows; -1 without one."""


@dataclass(frozen=True)
class Successes:
    """The successful demonstrations that a policy was trained on, for it to look up at run time."""

    first: Iterable[Observation]
    """The first observation of each, one at a time."""
    rows: Int[Tensor, "S"]
    """Place of each among the demonstrations trained on."""
    episodes: Int[Tensor, "S"]
    """Episode index of each in its dataset."""


@dataclass(frozen=True, kw_only=True)
class PolicyConfig(ABC):
    """Complete settings of a policy: its shape, its loss and how its parameters learn.

    Raises:
        ConfigError: when a chunk has no step.
    """

    kind: ClassVar[str]
    """Name of the family, stored in the checkpoint."""
    averaged: ClassVar[float] = 0.0
    """Decay of the moving average of the weights that it acts by where training names none."""
    base: ClassVar[str] = ""
    """Kind of the policy whose run of the same seed and shape it starts from; "" from nothing."""
    without_failures: ClassVar[str] = ""
    """Kind of policy to train in its place on successes alone; "" where it can learn from them."""
    chunk: int = 100
    """L, action steps predicted at once."""
    cameras: tuple[str, ...] = ()
    """Cameras whose pictures the policy itself is given; empty for low-dimensional state alone."""
    eyes: FrozenEyes | None = None
    """Frozen eyes that look in its place: their features stand in place of the environment state,
    or are the observation's maps."""
    takes_maps: ClassVar[bool] = False
    """Whether policies of the family look at an observation's maps."""

    def __post_init__(self) -> None:
        if self.chunk < 1:
            raise ConfigError(f"chunk {self.chunk}", remedy="choose at least 1")
        if self.eyes is not None and self.eyes.form == "tokens" and not self.takes_maps:
            raise ConfigError(
                f"frozen eyes as tokens for a policy of kind {self.kind}, which takes none",
                remedy="use --eyes frozen",
            )

    @property
    def views(self) -> tuple[str, ...]:
        """Cameras whose pictures are needed to act: the policy's own, then those of its eyes."""
        return self.cameras + (self.eyes.cameras if self.eyes else ())

    def looks(self) -> str:
        """How it looks at pictures, for people; "" where it does not."""
        if self.eyes is not None:
            return self.eyes.describe()
        return "trained with the policy" if self.cameras else ""

    @classmethod
    def like(cls, other: PolicyConfig) -> PolicyConfig:
        """Settings of this family that agree with another's in all that both families share."""
        shared = next(base for base in cls.__mro__ if isinstance(other, base))
        return cls(**{field.name: getattr(other, field.name) for field in fields(shared)})

    @abstractmethod
    def build(self, sizes: Sizes) -> Policy:
        """A fresh policy; weights are drawn from torch's global generator."""

    def check_outcomes(self, successes: int, failures: int) -> None:
        """Refuse to be trained on so many demonstrations of either outcome.

        Raises:
            DatasetError: when there is nothing to learn from.
        """
        if not successes + failures:
            raise DatasetError("no demonstration to learn from", remedy="select at least one")

    def describe(self) -> dict[str, str]:
        """Its settings in a few words, for people: what -> how."""
        return {"Policy": f"{self.kind}, chunk {self.chunk}"}

    @property
    def steerings(self) -> tuple[str, ...]:
        """Ways to be steered at run time, the default first; "" for a policy that takes none."""
        return ("",)

    def check_steering(self, steering: str) -> None:
        """Refuse a steering that the policy does not know; "" stands for its default.

        Raises:
            ConfigError: when it knows none, or not this one; then naming those it knows.
        """
        if steering and self.steerings == ("",):
            raise ConfigError(
                f"steering {steering!r} of a policy that takes none", remedy="leave it out"
            )
        if steering and steering not in self.steerings:
            raise UnknownName("steering", steering, self.steerings)

    def steering(self, preferred: str) -> str:
        """What the policy is steered by where a recipe for every family prefers this: its default
        where it does not know it, "" if it takes none. What a user asks for is `check_steering`'s.
        """
        try:
            self.check_steering(preferred)
        except ConfigError:
            return self.steerings[0]
        return preferred or self.steerings[0]

    @property
    def capturable(self) -> bool:
        """Whether its loss can be captured as a CUDA graph: no shape and no branch depends on
        values, and nothing is read back to the CPU."""
        return False

    @property
    def stackable(self) -> bool:
        """Whether policies of several seeds can train as one program, by `torch.func.vmap`: when
        nothing random happens inside their loss and it pays."""
        return False


class Policy(nn.Module, ABC):
    """Observation -> action chunk, trainable on demonstrations; everything is standardised.

    Args:
        config: settings it was built from.
        sizes: what the dataset dictates.
    """

    def __init__(self, config: PolicyConfig, sizes: Sizes) -> None:
        super().__init__()
        self.config, self.sizes = config, sizes

    @abstractmethod
    def losses(self, batch: Batch, generator: torch.Generator | None = None) -> Losses:
        """The loss of a batch.

        Args:
            batch: training samples.
            generator: source of everything random in training.
        """

    def draw_noise(self, samples: int, generator: torch.Generator | None) -> dict[str, Tensor]:
        """What the loss of so many samples needs at random, (B, ...) by name; see `Batch.noise`.

        A policy that has it drawn here, and nothing in its loss, can be stacked over seeds.
        """
        return {}

    @abstractmethod
    def act(
        self,
        seen: Observation,
        steering: Steering,
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, "B L A"]:
        """Action chunks at inference.

        Args:
            seen: observations.
            steering: of each row's episode, from `begin`.
            generator: source of noise, for policies that sample.
        """

    def errors(
        self, seen: Observation, action: Float[Tensor, "B L A"], steering: Steering
    ) -> Float[Tensor, "B L A"]:
        """How far off it is each number of these chunks, in the unit of the actions; of a policy
        that does not sample the distance from what it would do.

        Args:
            seen: observations at which the chunks begin.
            action: chunks.
            steering: of each row's episode, from `begin`.
        """
        return (self.act(seen, steering) - action).abs()

    def start_from(self, weights: Mapping[str, Tensor]) -> None:
        """Take the weights of a policy to go on from; by default of one like itself.

        Args:
            weights: its state, by name.

        Raises:
            CheckpointError: when they are of another kind or shape.
        """
        try:
            self.load_state_dict(weights)
        except RuntimeError:
            raise CheckpointError(
                f"weights that are not those of {self.config.kind!r} in this shape",
                remedy="start from a run of the same kind, shape and observations",
            ) from None

    def groups(self) -> list[ParameterGroup]:
        """Its parameters by how they learn; all of them alike unless it says otherwise."""
        return [ParameterGroup(frozenset(name for name, _ in self.named_parameters()))]

    def demonstrations_used(self, batch: Batch) -> Int[Tensor, "*n K"]:
        """Rows of its row-wise tables that the loss of a batch reads."""
        return batch.demo

    def memory(self, successes: Successes) -> dict[str, Tensor]:
        """What to keep of the successes for `begin`, beside the weights; by name."""
        return {}

    def remember(self, memory: Mapping[str, Tensor]) -> None:
        """Put back what `memory` gave."""

    def begin(self, first: Observation, steering: str = "") -> Steering:
        """Choose what steers each row from its first observation.

        Args:
            first: first observations, (B, ...).
            steering: one of its config's `steerings`; the default when "".

        Raises:
            UnknownName: when the policy knows no such steering.
        """
        self.config.check_steering(steering)
        return Steering(None, np.full(len(first), -1, dtype=np.int64))

    @property
    def device(self) -> torch.device:
        """Where its parameters are."""
        return next(self.parameters()).device

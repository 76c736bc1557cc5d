"""Two generators on one frozen encoder: one of successes, steered away from one of failures.

AFIL (arXiv 2605.08434). Both generators start as the one of a flow policy that was trained on
everything; then each learns from its own outcome alone.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from outtakes.data.batches import Batch
from outtakes.data.observation import Observation, Sizes
from outtakes.errors import CheckpointError, DatasetError, UnknownName
from outtakes.policy.flow.flow import FlowConfig, FlowPolicy
from outtakes.policy.flow.guidance import WEIGHTINGS, Guidance, guided
from outtakes.policy.flow.matching import draw, integrate, interpolate, squared_error, velocity
from outtakes.policy.policy import Losses, ParameterGroup, Steering, Successes
from outtakes.policy.transformer.transformer_policy import Memory
from outtakes.shapes import Bool, Float

Avoided = Literal["failures", "successes"]


@dataclass(frozen=True, kw_only=True)
class AfilConfig(FlowConfig):
    """Settings of a flow policy with two generators.

    Raises:
        ConfigError: on a shape, rate or guidance that cannot work.
        UnknownName: when what is to be avoided is not known.
    """

    kind: ClassVar[str] = "afil"
    base: ClassVar[str] = "flow"
    without_failures: ClassVar[str] = "flow"
    guidance: Guidance = field(default_factory=Guidance)
    """How strongly to be steered away, where nothing else is asked for."""
    avoid: Avoided = "failures"
    """What the second generator learns from. "successes" is the control that tells guidance away
    from failure from guidance as such; for training on successes alone."""
    frozen: bool = True
    """Whether the encoder stays as it was in the policy that training starts from."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.avoid not in ("failures", "successes"):
            raise UnknownName("outcome to avoid", self.avoid, ("failures", "successes"))

    def build(self, sizes: Sizes) -> AfilPolicy:
        """A fresh policy; weights are drawn from torch's global generator."""
        return AfilPolicy(self, sizes)

    def describe(self) -> dict[str, str]:
        """Its settings in a few words, for people: what -> how."""
        return super().describe() | {"Guidance": f"away from {self.avoid}, {self.guidance}"}

    def check_outcomes(self, successes: int, failures: int) -> None:
        """Refuse data that lack an outcome that a generator learns from."""
        missing = "success" if not successes else "failure" if not failures else ""
        if missing and not (missing == "failure" and self.avoid == "successes"):
            raise DatasetError(
                f"no {missing} to learn from", remedy="guidance away from failure needs both"
            )

    @property
    def steerings(self) -> tuple[str, ...]:
        """Its own guidance, and none; any "adaptive-<α>", "constant-<w>" or "matched-<α>"."""
        return (str(self.guidance), str(Guidance(alpha=0.0)))

    def check_steering(self, steering: str) -> None:
        """Refuse what is no guidance."""
        if steering:
            Guidance.parse(steering)


class AfilPolicy(FlowPolicy):
    """A flow policy whose `generator` is of successes, and `avoided` of what to stay away from.

    Args:
        config: settings.
        sizes: what the dataset dictates.

    Raises:
        ConfigError: when there is nothing to observe.
    """

    def __init__(self, config: AfilConfig, sizes: Sizes) -> None:
        super().__init__(config, sizes)
        self.afil = config
        self.avoided = copy.deepcopy(self.generator)
        self.disagreement: float | None = None

    def start_from(self, weights: Mapping[str, Tensor]) -> None:
        """Take the weights of a flow policy, whose generator both of its own become."""
        both = {
            name.replace("generator.", "avoided.", 1): tensor
            for name, tensor in weights.items()
            if name.startswith("generator.")
        }
        super().start_from({**weights, **both})

    def groups(self) -> list[ParameterGroup]:
        """Both generators; the encoder apart, which does not move while it is frozen."""
        groups = super().groups()
        if not self.afil.frozen:
            return groups
        everything = frozenset[str]().union(*(group.names for group in groups))
        own = frozenset(n for n in everything if n.startswith(("generator.", "avoided.")))
        still = ParameterGroup(everything - own, scale=0.0, decays=False)
        return [ParameterGroup(own), still]

    def encode(self, observation: Observation, generator: torch.Generator | None = None) -> Memory:
        """Encode an observation; while it is frozen nothing is learnt through it."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.afil.frozen):
            return super().encode(observation, generator)

    def losses(self, batch: Batch, generator: torch.Generator | None = None) -> Losses:
        """Flow matching of each generator on its own outcome.

        One half of the batch goes through each, sorted by outcome, so that a step costs what one
        generator's does. With balanced batches every sample finds its own generator; else those
        of which there are more than a half are left out.
        """
        noise = batch.noise or self.draw_noise(len(batch.action), generator)
        memory = self.encode(batch.observation, generator)
        start, time = noise["start"], noise["time"]
        order = batch.success.long().argsort(stable=True)
        half = len(order) // 2
        parts = {}
        for name, rows, of_success in (
            ("avoided", order[:half], self.afil.avoid == "successes"),
            ("generator", order[half:], True),
        ):
            valid = batch.valid[rows] & (batch.success[rows] == of_success)[:, None]
            parts[name] = self._loss(
                name, rows, memory, start[rows], batch.action[rows], time[rows], valid, generator
            )
        return Losses(
            parts["generator"] + parts["avoided"],
            {"loss/flow": parts["generator"], "loss/flow_avoided": parts["avoided"]},
        )

    def _loss(
        self,
        name: str,
        rows: Tensor,
        memory: Memory,
        start: Float[Tensor, "B L A"],
        action: Float[Tensor, "B L A"],
        time: Float[Tensor, "B"],
        valid: Bool[Tensor, "B L"],
        generator: torch.Generator | None,
    ) -> Float[Tensor, ""]:
        model = self.generator if name == "generator" else self.avoided
        looked = model.look(Memory(memory.tokens[rows], memory.positions))
        predicted = model(interpolate(start, action, time), time, looked, generator)
        return squared_error(predicted, velocity(start, action), valid)

    @torch.no_grad()
    def memory(self, successes: Successes) -> dict[str, Tensor]:
        """How far the generators disagree: the mean of 1 − cos over the sampling steps of a chunk
        at the first observation of each success, guided with α = 1."""
        learning, fixed = self.training, torch.Generator().manual_seed(0)
        self.eval()
        found = [self._disagreements(first, fixed) for first in successes.first]
        self.train(learning)
        return {"disagreement": torch.cat(found).mean()} if found else {}

    def _disagreements(
        self, seen: Observation, generator: torch.Generator
    ) -> Float[Tensor, "B steps"]:
        shape = (len(seen), self.config.chunk, self.sizes.action)
        noise = draw(shape, generator, self.device)
        return self.sample_guided(self.encode(seen), noise, Guidance("adaptive", 1.0))[1]

    def remember(self, memory: Mapping[str, Tensor]) -> None:
        """Take how far the generators disagree, for guidance of an equal mean weight."""
        if memory:
            self.disagreement = float(memory["disagreement"])

    def _chosen(self, steering: str) -> Guidance:
        chosen = Guidance.parse(steering) if steering else self.afil.guidance
        if chosen.weighting == "matched" and self.disagreement is None:
            raise CheckpointError(
                f"{chosen} of a run that does not say how far its generators disagree",
                remedy="train it again",
            )
        return chosen.constant(self.disagreement or 0.0)

    def begin(self, first: Observation, steering: str = "") -> Steering:
        """The guidance of the episode: the same in every row."""
        self.config.check_steering(steering)
        chosen = self._chosen(steering)
        numbers = [WEIGHTINGS.index(chosen.weighting), chosen.alpha]
        condition = torch.tensor(numbers, dtype=torch.float64)
        return Steering(condition.expand(len(first), 2), np.full(len(first), -1, dtype=np.int64))

    def act(
        self, seen: Observation, steering: Steering, generator: torch.Generator | None = None
    ) -> Float[Tensor, "B L A"]:
        """Action chunks sampled from noise under the guidance of the episode."""
        shape = (len(seen), self.config.chunk, self.sizes.action)
        noise = draw(shape, generator, self.device)
        return self.sample_guided(self.encode(seen), noise, _guidance_of(steering))[0]

    def avoided_errors(
        self, seen: Observation, action: Float[Tensor, "B L A"]
    ) -> Float[Tensor, "B L A"]:
        """What `errors` is of the generator of successes, of the other: it should be smaller on
        failures that it has not seen than on successes."""
        return self.velocity_errors(self.encode(seen), action, self.avoided)

    def sample_guided(
        self, memory: Memory, noise: Float[Tensor, "B L A"], guidance: Guidance
    ) -> tuple[Float[Tensor, "B L A"], Float[Tensor, "B steps"]]:
        """Chunks, and how strongly each row was guided at each sampling step.

        Without guidance they are bit for bit those of the generator of successes alone.
        """
        steps = self.config.sampling_steps
        if guidance.alpha == 0:
            return self.sample(memory, noise), noise.new_zeros(len(noise), steps)
        toward, away = self.generator.look(memory), self.avoided.look(memory)
        weights: list[Tensor] = []

        def field(x: Tensor, time: float) -> Tensor:
            clock = x.new_full((len(x),), time)
            one, other = self.generator(x, clock, toward), self.avoided(x, clock, away)
            weights.append(guidance.weights(one, other))
            return guided(one, other, weights[-1])

        return integrate(field, noise, steps), torch.stack(weights, dim=1)


def _guidance_of(steering: Steering) -> Guidance:
    assert steering.condition is not None
    weighting, alpha = steering.condition[0].tolist()
    return Guidance("constant" if weighting else "adaptive", alpha)

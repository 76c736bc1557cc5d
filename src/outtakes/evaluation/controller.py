"""Executing action chunks: open loop for a while, or ensembled over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from outtakes.errors import ConfigError
from outtakes.policy.agent import Agent
from outtakes.policy.decision import Decision
from outtakes.policy.policy import Steering

ROWS = 25
"""Rows of every inference call. Matrix products may round differently at different batch sizes;
a fixed size, with every initial state always in the same row, keeps outcomes independent of how
many environments run beside each other."""


@dataclass(frozen=True)
class ControllerConfig:
    """How chunks become actions."""

    replan: int = 100
    """Steps of a chunk executed before the policy is asked again; at most the chunk length."""
    ensemble: float | None = None
    """ACT's temporal ensembling: ask at every step and average the actions predicted for it with
    weights exp(−ensemble · i), i = 0 the oldest. None to execute chunks as they are."""
    steering: str = ""
    """What policies that can be steered are steered by, for example "nearest" or "mean"; their own
    default, which is the paper's, when ""."""

    def __post_init__(self) -> None:
        if self.replan < 1:
            raise ConfigError(f"replan {self.replan}", remedy="choose at least 1 step")


class ChunkController:
    """Actions for the environments of one block of up to `ROWS` initial states.

    Args:
        agent: the trained policy.
        config: how chunks become actions.
        slots: (n,) row of each environment in the inference batch, each below `ROWS`.
        noise: numbers that, with the step, decide the noise of policies that sample.
    """

    def __init__(
        self,
        agent: Agent,
        config: ControllerConfig,
        slots: np.ndarray,
        noise: Sequence[int] = (),
    ) -> None:
        if config.ensemble is None and config.replan > agent.chunk:
            raise ConfigError(
                f"replan {config.replan} with chunks of {agent.chunk}",
                remedy=f"choose at most {agent.chunk}",
            )
        self.agent, self.config, self.slots, self.noise = agent, config, slots, noise
        self._steering: Steering | None = None
        self._last: Decision | None = None
        self._chunks: list[np.ndarray] = []
        """Chunks (ROWS, L, A) asked for so far, oldest first."""
        self._asked: list[int] = []
        """Step at which each chunk was asked for."""

    def needs_observation(self, step: int) -> bool:
        """Whether the policy will be asked at this step."""
        return self.config.ensemble is not None or step % self.config.replan == 0

    def act(self, step: int, raw: Mapping[str, np.ndarray] | None) -> np.ndarray:
        """(n, A) actions of one step.

        Args:
            step: control step, from 0.
            raw: (n, ...) observations; None where `needs_observation` is False.
        """
        if raw is not None:
            self._ask(step, {name: self._in_slots(array) for name, array in raw.items()})
        if self.config.ensemble is None:
            return self._chunks[-1][self.slots, step - self._asked[-1]]
        return self._ensembled(step, self.config.ensemble)[self.slots]

    def retrieved_episodes(self) -> np.ndarray:
        """(n,) episode index of the success whose PB each environment follows; -1 without PB."""
        assert self._steering is not None
        return self._steering.episodes[self.slots]

    def decision(
        self, step: int, raw: Mapping[str, np.ndarray], episodes: np.ndarray, running: np.ndarray
    ) -> Decision:
        """The query that was made at this step, for those who watch.

        Args:
            step: control step, from 0.
            raw: (n, ...) observations that `act` was given.
            episodes: (n,) number of each episode.
            running: (n,) whether it goes on.
        """
        assert self._steering is not None
        condition, slots = self._steering.condition, self.slots
        steering = Steering(
            None if condition is None else condition[torch.from_numpy(slots)],
            self._steering.episodes[slots],
        )
        before = None if self._last is None else replace(self._last, previous=None)
        chunk = self._chunks[-1][slots]
        self._last = Decision(step, episodes, running, raw, chunk, steering, before)
        return self._last

    def _ask(self, step: int, raw: Mapping[str, np.ndarray]) -> None:
        raw = self.agent.look(raw)
        if self._steering is None:
            self._steering = self.agent.begin(raw, self.config.steering)
        words = np.random.SeedSequence([*self.noise, step]).generate_state(1)
        generator = torch.Generator().manual_seed(int(words[0]))
        self._chunks.append(self.agent.predict(raw, self._steering, generator))
        self._asked.append(step)
        live = [i for i, asked in enumerate(self._asked) if step - asked < self.agent.chunk]
        self._chunks = [self._chunks[i] for i in live]
        self._asked = [self._asked[i] for i in live]

    def _ensembled(self, step: int, coefficient: float) -> np.ndarray:
        weights = np.exp(-coefficient * np.arange(len(self._chunks)))
        actions = [
            chunk[:, step - asked] for chunk, asked in zip(self._chunks, self._asked, strict=True)
        ]
        return np.tensordot(weights / weights.sum(), np.stack(actions), axes=1)

    def _in_slots(self, array: np.ndarray) -> np.ndarray:
        """(n, ...) -> (ROWS, ...), each environment in its slot; empty slots repeat the first."""
        placed = np.repeat(array[:1], ROWS, axis=0)
        placed[self.slots] = array
        return placed

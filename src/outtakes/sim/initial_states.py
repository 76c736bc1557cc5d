"""Where episodes start: streams of initial states that never meet, whatever their seeds.

A policy must be tested from states that nobody demonstrated from, and tuned from neither. So each
purpose draws from a stream of its own: the first word of what seeds the generator names it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from outtakes.errors import ConfigError

if TYPE_CHECKING:
    from outtakes.sim.environment import Environment


class Stream(StrEnum):
    """What initial states are drawn for."""

    COLLECT = "collect"
    """Demonstrations: attempt i of a scripted operator or a person."""
    EVALUATE = "evaluate"
    """Rollouts that are reported."""
    TUNE = "tune"
    """Rollouts by which settings are chosen, which nothing reported may use."""
    PRACTISE = "practise"
    """Rollouts whose failures are learnt from."""
    RETAKE = "retake"
    """Takes that are taken again."""

    @property
    def word(self) -> int:
        """The stream's first word in every seed sequence: its first four letters, 32 bits."""
        return int.from_bytes(self.value[:4].encode("ascii"))


@dataclass(frozen=True)
class InitialStates:
    """An endless list of initial states: number i is a pure function of (stream, seed, i).

    Raises:
        ConfigError: when the seed is negative.
    """

    stream: Stream
    seed: int

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ConfigError(f"seed {self.seed}", remedy="give a seed of 0 or more")

    def __str__(self) -> str:
        return f"{self.stream}/{self.seed}"

    def rng(self, number: int) -> np.random.Generator:
        """Draws this state, and then whatever else the episode from it needs at random."""
        seeds = np.random.SeedSequence([self.stream.word, self.seed], spawn_key=(number,))
        return np.random.default_rng(seeds)

    def at(self, environment: Environment, number: int) -> np.ndarray:
        """(n,) initial state at this place of the list."""
        return environment.sample_initial_state(self.rng(number))

    def first(self, environment: Environment, count: int) -> np.ndarray:
        """(count, n) initial states; the first k of a longer list are the list of k.

        Raises:
            ConfigError: when none is asked for.
        """
        if count < 1:
            raise ConfigError(f"{count} rollouts", remedy="ask for at least 1")
        return np.stack([self.at(environment, number) for number in range(count)])

"""Two fields of velocities as one: away from what failures would do (AFIL, arXiv 2605.08434).

    v = v₊ + w (v₊ − v₋)

The weight w is α (1 − cos(v₊, v₋)) for each row at each sampling step, or one constant, which may
be chosen to be as much on average. The paper's equations are not public; these are how Outtakes
settled them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor
from torch.nn import functional

from outtakes.errors import ConfigError, UnknownName
from outtakes.shapes import Float

Weighting = Literal["adaptive", "constant", "matched"]
WEIGHTINGS = ("adaptive", "constant", "matched")


@dataclass(frozen=True)
class Guidance:
    """How strongly to be steered away.

    Raises:
        ConfigError: when the strength is negative or not finite.
        UnknownName: when there is no such weighting.
    """

    weighting: Weighting = "adaptive"
    """"adaptive", w = α (1 − cos(v₊, v₋)); "constant", w = α; or "matched", the constant that is
    as much on average, see `constant`."""
    alpha: float = 1.0
    """α; 0 for no guidance at all."""

    def __post_init__(self) -> None:
        if self.weighting not in WEIGHTINGS:
            raise UnknownName("weighting", self.weighting, WEIGHTINGS)
        if not (math.isfinite(self.alpha) and self.alpha >= 0):
            raise ConfigError(f"alpha {self.alpha}", remedy="choose a finite number of at least 0")

    def __str__(self) -> str:
        return f"{self.weighting}-{self.alpha:g}"

    @staticmethod
    def parse(text: str) -> Guidance:
        """The guidance that is written as "adaptive-<α>", "constant-<w>" or "matched-<α>".

        Raises:
            ConfigError: when the strength is negative or not finite.
            UnknownName: when it is written in another way.
        """
        weighting, _, strength = text.partition("-")
        try:
            alpha = float(strength)
        except ValueError:
            alpha = None
        if weighting not in WEIGHTINGS or alpha is None:
            raise UnknownName("guidance", text, [f"{name}-<number>" for name in WEIGHTINGS])
        return Guidance(cast(Weighting, weighting), alpha)

    def constant(self, disagreement: float) -> Guidance:
        """The same with its weight known: matched guidance is constant, α times the mean of
        1 − cos(v₊, v₋)."""
        if self.weighting != "matched":
            return self
        return Guidance("constant", self.alpha * disagreement)

    def weights(
        self, toward: Float[Tensor, "B L A"], away: Float[Tensor, "B L A"]
    ) -> Float[Tensor, "B"]:
        """w of each row; of matched guidance once it is `constant`."""
        assert self.weighting != "matched"
        if self.weighting == "constant":
            return toward.new_full((len(toward),), self.alpha)
        cosine = functional.cosine_similarity(toward.flatten(1), away.flatten(1), dim=1)
        return self.alpha * (1 - cosine)


def guided(
    toward: Float[Tensor, "B L A"], away: Float[Tensor, "B L A"], weights: Float[Tensor, "B"]
) -> Float[Tensor, "B L A"]:
    """v₊ + w (v₊ − v₋)."""
    return torch.addcmul(toward, weights[:, None, None], toward - away)

"""Comparing two policies while they are rolled out, for as long as it takes and no longer.

An ordinary p may be looked at once. Here the evidence is the wealth of a gambler who bets against
"no difference": with d_i in [−1, 1] the difference of two policies' outcomes in round i, and
rounds independent,

    E_t = Σ_δ w_δ · ½ (Π_i (1 + c_i d_i) + Π_i (1 − c_i d_i)),   c_i = min(δ / v_i, 0.9)

is a nonnegative martingale if E[d] = 0, whatever else is true, as long as v_i comes from earlier
rounds alone, so that P(E_t ≥ 1/α at any t) ≤ α (Ville 1939; Waudby-Smith and Ramdas 2024, J. Royal
Statistical Society B 86). One may look after every round and stop at will. With v_i the mean of the
earlier d², wealth grows about the fastest if the difference is δ; the weights are for differences
of about 15 points.

Betting in the same way against every other difference m gives a confidence sequence: the m that
were never refuted hold the truth at all times at once with probability 1 − α.

Rounds are paired where both policies start from one initial state; on a real robot, where they
cannot, the i-th trial of one is paired with the i-th of the other, which is as valid and takes
longer. They say what two trained policies do from other initial states, and nothing about other
training seeds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from outtakes.errors import ArtifactError
from outtakes.files import load_json, write_json
from outtakes.shapes import Float

_KIND, _VERSION = "until-clear", 1
EXPECTED = np.array([0.1, 0.15, 0.2, 0.3])
"""δ: differences that gamblers bet on, in either direction."""
WEIGHTS = np.array([0.25, 0.35, 0.25, 0.15])
"""w: their shares of the first wealth."""
MOST = 0.9
"""Share of the wealth that is staked at most."""
_FIRST, _FIRST_ROUNDS = 0.5, 5
"""v before any round, and how many rounds that counts for."""
_REFUTABLE = np.linspace(-1, 1, 401)
"""m: differences that the confidence sequence is made of."""


@dataclass(frozen=True)
class Evidence:
    """What is known of the difference after some rounds; true at all times at once."""

    difference: float
    """Mean of the rounds, in [−1, 1]."""
    low: float
    high: float
    """Ends of the confidence sequence."""
    p: float
    """Anytime-valid: the smallest 1 / E_t so far."""
    rounds: int

    def clear(self, margin: float) -> bool:
        """Whether 0 is refuted, or all differences of `margin` and more are."""
        return self.low > 0 or self.high < 0 or max(-self.low, self.high) < margin

    def save(self, path: Path, facts: Mapping[str, Any]) -> None:
        """Write `until_clear.json`, with what else is to be known of the comparison."""
        write_json(path, _KIND, _VERSION, {**asdict(self), **facts})

    @staticmethod
    def load(path: Path) -> Evidence:
        """Read `until_clear.json`.

        Raises:
            ArtifactError: when it is missing, damaged or of another version.
        """
        return load_json(path, _KIND, _VERSION, _parse, remedy="evaluate again")


def _parse(content: Mapping[str, Any]) -> Evidence:
    numbers = (float(content[name]) for name in ("difference", "low", "high", "p"))
    return Evidence(*numbers, rounds=int(content["rounds"]))


def evidence(differences: Float[np.ndarray, "rounds"], *, level: float = 0.95) -> Evidence:
    """What the rounds so far say, in their order.

    Args:
        differences: in [−1, 1].
        level: of the confidence sequence.

    Raises:
        ArtifactError: when there is none, or one is outside.
    """
    if not len(differences) or not (np.abs(differences) <= 1).all():
        raise ArtifactError(
            "no difference, or one outside [−1, 1]", remedy="compare outcomes of 0 and 1"
        )
    logs = np.stack([log_wealth(differences, m).max() for m in _REFUTABLE])
    kept = _REFUTABLE[logs < -np.log(1 - level)]
    mean = float(differences.mean())
    # Where every m is refuted, as may happen once in 1 / α, the mean is what is left.
    low, high = (float(kept[0]), float(kept[-1])) if len(kept) else (mean, mean)
    p = float(np.exp(-max(0.0, log_wealth(differences).max())))
    return Evidence(mean, low, high, min(1.0, p), len(differences))


def log_wealth(
    differences: Float[np.ndarray, "*n rounds"], against: float = 0.0
) -> Float[np.ndarray, "*n rounds"]:
    """log E_t after every round, of a gambler who bets against this mean difference.

    Args:
        differences: in [−1, 1].
        against: m, in [−1, 1]. d − m takes the place of d, and the largest share shrinks by
            1 + |m|, so that wealth stays positive.
    """
    excess = differences - against
    squares = np.square(excess)
    earlier = np.cumsum(squares, axis=-1) - squares
    spread = (_FIRST * _FIRST_ROUNDS + earlier) / (_FIRST_ROUNDS + np.arange(differences.shape[-1]))
    shares = np.minimum(EXPECTED[:, None] / spread[..., None, :], MOST / (1 + abs(against)))
    gains = np.log1p(np.concatenate([shares, -shares], axis=-2) * excess[..., None, :])
    weights = np.log(np.concatenate([WEIGHTS, WEIGHTS]) / 2)[:, None]
    return _log_sum(weights + np.cumsum(gains, axis=-1))


def _log_sum(logs: np.ndarray) -> np.ndarray:
    """log Σ exp over the last axis but one."""
    largest = logs.max(axis=-2, keepdims=True)
    return (largest + np.log(np.exp(logs - largest).sum(axis=-2, keepdims=True)))[..., 0, :]

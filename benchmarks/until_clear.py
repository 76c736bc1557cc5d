"""How often stopping when the answer is clear is wrong, and how many rollouts it saves.

    python -m benchmarks.until_clear

Simulated rollouts of two policies of known success rates, from the same initial states (paired) or
from others each (unpaired), looked at after every round. Into results/until-clear.json.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit
from scipy.stats import binom

from benchmarks.side_by_side import machine
from outtakes import version
from outtakes.evaluation.sequential import log_wealth

OUT = Path(__file__).resolve().parent.parent / "results" / "until-clear.json"
EXPERIMENTS, ROUNDS, AT_ONCE = 2000, 1000, 100
ALPHA = 0.05
POWERS = (0.8, 0.9, 0.95)
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(61)


@dataclass(frozen=True)
class Setting:
    """Logit P(success) = μ_policy + state; states are normal."""

    baseline: float
    """Success rate in [0, 1]."""
    difference: float
    state_sd: float
    """Logits, of what both policies find hard alike."""
    paired: bool

    def rounds(self, rng: np.random.Generator) -> np.ndarray:
        """(EXPERIMENTS, ROUNDS) difference of the outcomes, in {−1, 0, 1}."""
        shape = (EXPERIMENTS, ROUNDS)
        states = self.state_sd * rng.standard_normal(shape)
        others = states if self.paired else self.state_sd * rng.standard_normal(shape)
        baseline = rng.random(shape) < expit(self._logit(self.baseline) + states)
        arm = rng.random(shape) < expit(self._logit(self.baseline + self.difference) + others)
        return arm.astype(np.int8) - baseline

    def _logit(self, rate: float) -> float:
        """μ at which the mean over states is this success rate."""
        weights = _WEIGHTS / _WEIGHTS.sum()
        root = brentq(lambda mu: weights @ expit(mu + self.state_sd * _NODES) - rate, -30, 30)
        assert isinstance(root, float)
        return root


SETTINGS = [
    Setting(baseline, 0.15, state_sd, paired)
    for baseline in (0.35, 0.6, 0.75)
    for state_sd, paired in ((0.0, False), (1.0, True), (2.0, True))
]


def stopped_after(rounds: np.ndarray) -> np.ndarray:
    """(EXPERIMENTS,) rounds until E_t ≥ 1/α; ROUNDS + 1 where it never was."""
    found = []
    for some in np.split(rounds, EXPERIMENTS // AT_ONCE):
        refuted = log_wealth(some.astype(np.float64)) >= -np.log(ALPHA)
        found.append(np.where(refuted.any(axis=1), refuted.argmax(axis=1) + 1, ROUNDS + 1))
    return np.concatenate(found)


def fixed_power(rounds: np.ndarray) -> np.ndarray:
    """(ROUNDS,) how often the exact McNemar test rejects after so many rounds, looked at once."""
    gained, lost = (np.cumsum(rounds == sign, axis=1) for sign in (1, -1))
    p = 2 * binom.cdf(np.minimum(gained, lost), gained + lost, 0.5)
    return (p <= ALPHA).mean(axis=0)


def study(setting: Setting, rng: np.random.Generator) -> dict[str, object]:
    """False positives without a difference; rollouts of each policy with one, at equal power."""
    null = Setting(setting.baseline, 0.0, setting.state_sd, setting.paired)
    false = (stopped_after(null.rounds(rng)) <= ROUNDS).mean()
    rounds = setting.rounds(rng)
    stops, power = stopped_after(rounds), fixed_power(rounds)
    designs = []
    for wanted in POWERS:
        fixed = int(np.argmax(power >= wanted)) + 1
        most = int(np.sort(stops)[int(np.ceil(wanted * EXPERIMENTS)) - 1])
        mean = float(np.minimum(stops, most).mean())
        designs.append(
            {"power": wanted, "fixed": fixed, "most": most, "mean": mean, "saved": 1 - mean / fixed}
        )
    return {
        **asdict(setting),
        "rounds_that_differ": float((rounds != 0).mean()),
        "false_positives": float(false),
        "designs": designs,
    }


def main() -> None:
    """Measure every setting, print and write it."""
    rng = np.random.default_rng(0)
    found = []
    for setting in SETTINGS:
        found.append(study(setting, rng))
        print(json.dumps(found[-1]))
    content = {
        "command": "python -m benchmarks.until_clear",
        "date": date.today().isoformat(),
        "commit": version.commit(),
        "machine": machine(),
        "experiments": EXPERIMENTS,
        "looks": ROUNDS,
        "settings": found,
    }
    OUT.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

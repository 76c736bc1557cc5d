"""Learning curves: success by the length of training, and the length at which each way is best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from outtakes.errors import ConfigError
from outtakes.files import Location, load_json, write_json

BUDGETS = "budgets.json"
_KIND, _VERSION = "budgets", 1


@dataclass(frozen=True)
class LearningCurve:
    """Success rate of one treatment after so many steps."""

    steps: tuple[int, ...]
    """Ascending."""
    rates: np.ndarray
    """(steps, seeds) float64: success rate of each seed."""

    def __post_init__(self) -> None:
        if not self.steps or self.rates.shape[:1] != (len(self.steps),):
            raise ConfigError(
                f"a curve of {len(self.steps)} lengths and rates of shape {self.rates.shape}",
                remedy="measure it again",
            )

    @property
    def means(self) -> np.ndarray:
        """(steps,) success rate over seeds."""
        return self.rates.mean(axis=1)

    @property
    def best(self) -> int:
        """Where to stop: the steps whose smoothed rate is highest, the fewest of equals.

        Each length is averaged with its neighbours, weights 1/4, 1/2, 1/4, so that one lucky
        measurement decides nothing.
        """
        padded = np.pad(self.means, 1, mode="edge")
        smooth = padded[:-2] / 4 + padded[1:-1] / 2 + padded[2:] / 4
        return self.steps[int(np.argmax(np.round(smooth, 9)))]


@dataclass(frozen=True)
class Budgets:
    """The learning curve of every treatment of some arms."""

    curves: Mapping[str, LearningCurve]
    """Treatment (an arm under one steering) -> its curve."""

    def steps(self, name: str) -> int:
        """How long to train for this treatment.

        Raises:
            ConfigError: when it has no curve.
        """
        if name not in self.curves:
            raise ConfigError(
                f"no learning curve of {name!r}; there are {sorted(self.curves)}",
                remedy="measure its budget first",
            )
        return self.curves[name].best

    def of(self, names: Sequence[str]) -> Budgets:
        """Those of some treatments.

        Raises:
            KeyError: when one has no curve.
        """
        return Budgets({name: self.curves[name] for name in names})

    def table(self) -> str:
        """The curves in Markdown, in %; the length to train for in bold."""
        steps = next(iter(self.curves.values())).steps
        lines = [
            f"| Success rate, %, after steps | {' | '.join(f'{n:,}' for n in steps)} |",
            f"|---|{'---|' * len(steps)}",
        ]
        for name, curve in self.curves.items():
            cells = [f"{100 * rate:.0f}" for rate in curve.means]
            cells[curve.steps.index(curve.best)] = f"**{cells[curve.steps.index(curve.best)]}**"
            lines.append(f"| {name} | {' | '.join(cells)} |")
        return "\n".join(lines)

    def save(self, path: Location) -> None:
        """Write `budgets.json`."""
        curves = {
            name: {"steps": list(c.steps), "rates": c.rates.tolist(), "best": c.best}
            for name, c in self.curves.items()
        }
        write_json(path, _KIND, _VERSION, {"curves": curves})

    @staticmethod
    def load(path: Location) -> Budgets:
        """Read `budgets.json`.

        Raises:
            ArtifactError: when it is missing, damaged or of another version.
        """
        return load_json(path, _KIND, _VERSION, _parse, remedy="measure the budgets again")


def _parse(content: Mapping[str, Any]) -> Budgets:
    return Budgets(
        {
            name: LearningCurve(tuple(c["steps"]), np.array(c["rates"], np.float64))
            for name, c in content["curves"].items()
        }
    )

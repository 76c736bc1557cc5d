"""How a demonstration ended, and who says so."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from outtakes.data.demo import Outcome
from outtakes.data.labels import read_labels
from outtakes.errors import DatasetError
from outtakes.importers.hdf5 import Node
from outtakes.importers.options import ImportOptions

HOW_TO_LABEL = (
    "give --labels FILE, or --outcome success or failure for all, or leave it out with --skip-bad"
)
"""What to do about a demonstration that nothing labels."""


@dataclass(frozen=True)
class Verdict:
    """The outcome of one demonstration."""

    success: bool
    source: str
    """Who says so: a flag of the command line, or a place in the source."""
    solved: np.ndarray | None = None
    """(T,) bool, at which frames the task is solved, where that is known."""

    @property
    def outcome(self) -> Outcome:
        """The outcome it stands for."""
        return Outcome.of(self.success)

    def column(self, length: int) -> np.ndarray:
        """(length,) bool for `next.success`: the frames known to be solved, else the last."""
        if not self.success:
            return np.zeros(length, dtype=bool)
        if self.solved is not None and self.solved.any():
            return self.solved
        return np.arange(length) == length - 1


def read_attribute(demo: Node) -> Verdict | None:
    """What a demonstration's attribute `success` says, if it is there.

    Raises:
        DatasetError: when it is no truth value.
    """
    value = demo.attribute("success")
    if value is None:
        return None
    if not isinstance(value, bool | int | float) or value not in (0, 1):
        raise DatasetError(
            f"the attribute success is {value!r}",
            where=demo.where,
            remedy="write True or False there, or leave the demonstration out with --skip-bad",
        )
    return Verdict(bool(value), "attribute success")


@dataclass(frozen=True)
class Told:
    """What the user says about outcomes, which goes before what the source says."""

    labels: Mapping[int, bool]
    """Number of a demonstration -> whether it succeeded."""
    outcome: Outcome | None
    """Of all the others."""

    def verdict(self, demo: str) -> Verdict | None:
        """What is said about a demonstration, if anything."""
        number = demo_number(demo)
        if number is not None and number in self.labels:
            return Verdict(self.labels[number], "--labels")
        if self.outcome is not None:
            return Verdict(self.outcome is Outcome.SUCCESS, "--outcome")
        return None


def read_told(options: ImportOptions, demos: Sequence[str]) -> Told:
    """Read the user's labels of these demonstrations.

    Raises:
        DatasetError: when the label file is malformed or labels a demonstration that is not there.
    """
    outcome = None if options.outcome is None else Outcome(options.outcome)
    if options.labels is None:
        return Told({}, outcome)
    numbers = [number for demo in demos if (number := demo_number(demo)) is not None]
    if not numbers:
        raise DatasetError(
            f"no number in the name {demos[0]}", where=options.labels, remedy="use --outcome"
        )
    return Told(read_labels(options.labels, numbers), outcome)


def demo_number(demo: str) -> int | None:
    """7 of "demo_7" and of "episode_7.hdf5"."""
    digits = re.search(r"(\d+)\D*$", Path(demo).stem)
    return int(digits[1]) if digits else None

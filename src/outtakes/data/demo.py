"""Demonstrations in memory: what every later stage reads.

Dimensions, here and everywhere in Outtakes:

    B batch   T time steps of one episode   L action chunk   N demonstrations   R rows (all frames)
    S state   E environment state   A action   P parametric bias   D width   H heads
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import InitVar, dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np

from outtakes.errors import DatasetError, UnknownName

VECTORS = ("state", "environment_state", "action")
"""The numeric arrays of a `DemoSet`, by row."""
IMAGES, FEATURES = "observation.images.", "observation.features."
"""What comes before a camera's name in the names an agent takes."""
TASK = "task"
"""The name by which an agent takes the instruction, a text for each row."""


class Outcome(StrEnum):
    """How a demonstration ended."""

    SUCCESS = "success"
    FAILURE = "failure"

    @staticmethod
    def of(success: object) -> Outcome:
        """SUCCESS of what is true, FAILURE of what is not."""
        return Outcome.SUCCESS if success else Outcome.FAILURE


@dataclass(frozen=True)
class Demo:
    """One demonstration: a view of its rows in a `DemoSet`."""

    episode_index: int
    """Index of the episode in the dataset it came from."""
    outcome: Outcome
    state: np.ndarray
    """(T, S) float32, proprioception."""
    environment_state: np.ndarray
    """(T, E) float32, object poses; E = 0 when the dataset has none."""
    action: np.ndarray
    """(T, A) float32, the command sent at each step."""
    images: Mapping[str, np.ndarray]
    """Camera name -> (T, height, width, 3) uint8."""
    features: Mapping[str, np.ndarray] = field(default_factory=dict)
    """Camera name -> (T, h, w, C) float16, what frozen eyes made of its images."""
    task: str = ""
    """What the robot was asked to do; "" where nothing is said."""

    def __len__(self) -> int:
        return len(self.action)

    def observations(self, cameras: Sequence[str]) -> dict[str, np.ndarray]:
        """What it saw at every step, by the names an agent takes; views, nothing is copied.

        Where frozen eyes have looked at a camera's images, it is what they made of them.
        """
        return {
            "observation.state": self.state,
            "observation.environment_state": self.environment_state,
            TASK: np.full(len(self), self.task),
            **dict(self._seen(camera) for camera in cameras),
        }

    def _seen(self, camera: str) -> tuple[str, np.ndarray]:
        if camera in self.features:
            return f"{FEATURES}{camera}", self.features[camera]
        return f"{IMAGES}{camera}", self.images[camera]


@dataclass(frozen=True)
class Provenance:
    """What was found where a `DemoSet` was read, for people; nothing is computed from it."""

    stored_sizes: Mapping[str, Sequence[int]] = field(default_factory=dict)
    """Camera name -> height and width of its stored frames."""
    state_names: Sequence[str] = ()
    """Names of the dimensions of the state, or empty."""
    outcome_sources: Mapping[str, int] = field(default_factory=dict)
    """Where outcomes came from -> how many."""
    skipped: Mapping[int, str] = field(default_factory=dict)
    """Episode index of each corrupt episode that was left out -> what is wrong with it."""


@dataclass(frozen=True)
class DemoSet:
    """Demonstrations of one dataset, as flat arrays over all R rows.

    Demonstration i owns rows `starts[i] : starts[i] + lengths[i]`. A subset shares the arrays of
    the whole dataset, so there may be rows that nobody owns; `rows` are those that somebody does.
    Images may be memory maps; nothing here copies them.

    Raises:
        DatasetError: on mismatched shapes, NaN or infinite values, or an empty set.
    """

    name: str
    """Where the data came from, for messages: a path or a hub id."""
    content_hash: str
    """Hash of what is stored, however it is read."""
    fps: float
    """Frames a second."""
    episode_indices: np.ndarray
    """(N,) int64, strictly increasing."""
    successes: np.ndarray
    """(N,) bool, True where the demonstration succeeded."""
    starts: np.ndarray
    """(N,) int64, first row of each demonstration."""
    lengths: np.ndarray
    """(N,) int64, number of frames of each demonstration."""
    state: np.ndarray
    """(R, S) float32."""
    environment_state: np.ndarray
    """(R, E) float32; E = 0 when the dataset has none."""
    action: np.ndarray
    """(R, A) float32."""
    images: Mapping[str, np.ndarray] = field(default_factory=dict)
    """Camera name -> (R, height, width, 3) uint8."""
    features: Mapping[str, np.ndarray] = field(default_factory=dict)
    """Camera name -> (R, h, w, C) float16, what frozen eyes made of its images; empty where none
    have looked."""
    tasks: Sequence[str] = ()
    """(N,) task descriptions, or empty."""
    provenance: Provenance = field(default_factory=Provenance)
    """Of the set that was read; a subset keeps it."""
    choices: Mapping[str, Any] = field(default_factory=dict)
    """The choices in reading that shape the arrays, see `Reading.choices`; none of a set that was
    made in memory."""
    cache: Path | None = field(default=None, init=False, compare=False)
    """Folder of the frame cache that holds the dataset of which these are some or all; None when
    they were made in memory, or changed: `replace` does not hand it on."""
    checked: InitVar[bool] = False
    """Whether the arrays are known to be finite, as those of a subset are."""

    def __post_init__(self, checked: bool) -> None:
        self._check_shapes()
        self._check_bounds()
        if not checked:
            for name in VECTORS:
                self._check_finite(name)

    def cached_in(self, folder: Path | None) -> DemoSet:
        """The same demonstrations, said to be in this frame cache."""
        same = replace(self, checked=True)
        object.__setattr__(same, "cache", folder)
        return same

    def _check_bounds(self) -> None:
        n, rows = len(self.episode_indices), len(self.action)
        if self.starts.shape != (n,) or self.lengths.shape != (n,):
            raise DatasetError(
                f"{self.starts.shape} starts and {self.lengths.shape} lengths do not cover "
                f"{n} episodes",
                where=self.name,
                remedy="give one of each for every episode",
            )
        outside = (self.starts < 0) | (self.lengths < 1) | (self.starts + self.lengths > rows)
        if outside.any():
            i = int(np.argmax(outside))
            raise DatasetError(
                f"{self.lengths[i]} frames from row {self.starts[i]} on are not among {rows} rows",
                where=f"{self.name}, episode {self.episode_indices[i]}",
                remedy="the dataset's index is damaged; export it again",
            )

    def _check_shapes(self) -> None:
        n, rows = len(self.episode_indices), len(self.action)
        if n == 0:
            raise DatasetError("no episodes", where=self.name, remedy="record or select some")
        vectors = {"state": self.state, "environment_state": self.environment_state}
        sized = [*vectors.items(), *self.images.items(), *self.features.items()]
        for name, array in sized:
            if len(array) != rows:
                raise DatasetError(
                    f"{name} has {len(array)} rows, action has {rows}",
                    where=self.name,
                    remedy="every feature must have one row a frame; export the dataset again",
                )
        if len(self.successes) != n:
            raise DatasetError(
                f"{len(self.successes)} outcomes for {n} episodes",
                where=self.name,
                remedy="label every episode",
            )

    def _check_finite(self, name: str) -> None:
        array = getattr(self, name)
        bad = ~np.isfinite(array).all(axis=1)
        if bad.any():
            place, where = self._locate(int(np.argmax(bad)))
            raise DatasetError(
                f"{name} is not finite at {place}",
                where=where,
                remedy="drop or repair that episode",
            )

    def _locate(self, row: int) -> tuple[str, str]:
        """A row in words: which frame, and of what."""
        owners = np.flatnonzero((self.starts <= row) & (row < self.starts + self.lengths))
        if not len(owners):
            return f"row {row}", self.name
        i = owners[0]
        return f"frame {row - self.starts[i]}", f"{self.name}, episode {self.episode_indices[i]}"

    def __len__(self) -> int:
        return len(self.episode_indices)

    def __getitem__(self, i: int) -> Demo:
        rows = slice(int(self.starts[i]), int(self.starts[i] + self.lengths[i]))
        return Demo(
            episode_index=int(self.episode_indices[i]),
            outcome=Outcome.of(self.successes[i]),
            state=self.state[rows],
            environment_state=self.environment_state[rows],
            action=self.action[rows],
            images={camera: frames[rows] for camera, frames in self.images.items()},
            features={camera: maps[rows] for camera, maps in self.features.items()},
            task=self.tasks[i] if self.tasks else "",
        )

    def __iter__(self) -> Iterator[Demo]:
        return (self[i] for i in range(len(self)))

    def rows(self) -> np.ndarray:
        """(frames,) int64, the rows that these demonstrations own, one after the other."""
        return np.repeat(self.starts - self.packed_starts(), self.lengths) + np.arange(
            self.lengths.sum()
        )

    def packed_starts(self) -> np.ndarray:
        """(N,) int64, the place among `rows` of each demonstration's first."""
        return np.cumsum(self.lengths) - self.lengths

    def episodes(self, outcome: Outcome) -> list[int]:
        """Episode indices with this outcome, ascending."""
        wanted = self.successes == (outcome is Outcome.SUCCESS)
        return [int(e) for e in self.episode_indices[wanted]]

    def task_of(self) -> dict[int, str]:
        """Episode index -> what the robot was asked to do; empty where nothing is said."""
        return dict(zip(self.episode_indices.tolist(), self.tasks, strict=False))

    def by_task(self) -> dict[str, DemoSet]:
        """Task -> its demonstrations, in the order in which they first occur; all of them as one
        where nothing is said."""
        if len(set(self.tasks)) < 2:
            return {next(iter(self.tasks), ""): self}
        members: dict[str, list[int]] = {}
        for episode, task in self.task_of().items():
            members.setdefault(task, []).append(episode)
        return {task: self.subset(episodes) for task, episodes in members.items()}

    def as_one_task(self) -> DemoSet:
        """The same demonstrations, without their instructions."""
        choices = {**self.choices, "one_task": True}
        return replace(self, tasks=(), choices=choices, checked=True).cached_in(self.cache)

    def seeing(self, cameras: Collection[str]) -> DemoSet:
        """The same demonstrations, filmed by these cameras alone.

        Raises:
            UnknownName: when there is no such camera.
        """
        for camera in cameras:
            if camera not in self.images:
                raise UnknownName("camera", camera, self.images)
        seen = {c: f for c, f in self.images.items() if c in cameras}
        return replace(self, images=seen, checked=True).cached_in(self.cache)

    def subset(self, episodes: Sequence[int]) -> DemoSet:
        """The demonstrations of these episode indices, in dataset order; shares every array.

        Raises:
            DatasetError: when an episode is not in the set.
        """
        wanted = np.array(sorted(set(episodes)), dtype=np.int64)
        missing = np.setdiff1d(wanted, self.episode_indices)
        if len(missing):
            raise DatasetError(
                f"episode {missing[0]} is not in the dataset",
                where=self.name,
                remedy="choose among its episode indices",
            )
        keep = np.flatnonzero(np.isin(self.episode_indices, wanted))
        if len(keep) == len(self):
            return self
        return replace(
            self,
            episode_indices=self.episode_indices[keep],
            successes=self.successes[keep],
            starts=self.starts[keep],
            lengths=self.lengths[keep],
            tasks=[self.tasks[i] for i in keep] if self.tasks else (),
            checked=True,
        ).cached_in(self.cache)

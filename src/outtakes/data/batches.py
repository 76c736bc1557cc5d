"""Training batches: a pure function of (seed, step), so that resuming needs no sampler state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from outtakes.data.demo import DemoSet
from outtakes.data.normalize import Normalizer
from outtakes.data.observation import Observation
from outtakes.data.projection import Projection
from outtakes.shapes import Bool, Float, Int


@dataclass(frozen=True)
class Batch:
    """One training batch, standardised and on the device; of n policies with n first everywhere."""

    demo: Int[Tensor, "*n B"]
    """Index of each sample's demonstration in its `DemoSet`: its row in the PB table."""
    other_demo: Int[Tensor, "*n B"]
    """A random demonstration of the other outcome; the sample's own when there is none."""
    success: Bool[Tensor, "*n B"]
    observation: Observation
    action: Float[Tensor, "*n B L A"]
    """Actions from the sampled time step on; past the end the last one repeats."""
    valid: Bool[Tensor, "*n B L"]
    """False past the end of the demonstration."""
    paired: bool
    """Whether `other_demo` is of the other outcome: False when there is one outcome alone."""
    noise: Mapping[str, Tensor] = field(default_factory=dict)
    """What a policy had drawn for these samples, (*n, B, ...) by name; see `Policy.draw_noise`."""

    def tensors(self) -> dict[str, Any]:
        """Every tensor, for what takes dictionaries apart; see `of`."""
        seen = {name: value for name, value in vars(self.observation).items() if value is not None}
        tensors = {**vars(self), "observation": seen}
        del tensors["paired"]
        return tensors

    @staticmethod
    def of(tensors: Mapping[str, Any], *, paired: bool) -> Batch:
        """The batch of what `tensors` gave."""
        seen = Observation(**tensors["observation"])
        return Batch(**{**tensors, "observation": seen}, paired=paired)


@dataclass(frozen=True)
class Samples:
    """Which (demonstration, time step) pairs one batch holds."""

    demo: np.ndarray
    """(B,) int64."""
    time: np.ndarray
    """(B,) int64."""
    other_demo: np.ndarray
    """(B,) int64."""


@dataclass(frozen=True)
class PlacedSamples:
    """`Samples` on a device, where another draw may be laid over them."""

    demo: Int[Tensor, "*n B"]
    time: Int[Tensor, "*n B"]
    other_demo: Int[Tensor, "*n B"]

    def lay(self, samples: Samples) -> None:
        """Lay other samples of the same shape over these."""
        for own in fields(Samples):
            getattr(self, own.name).copy_(torch.from_numpy(getattr(samples, own.name)))


class Sampler:
    """Draws samples: each epoch is one random time step of every demonstration, shuffled.

    Args:
        demos: the training demonstrations.
        seed: of everything drawn.
        batch_size: B.
        balanced: draw successes and failures equally often instead of every demonstration.
        successes_from: the step from which on successes alone are drawn, at random; None for
            never.
    """

    def __init__(
        self,
        demos: DemoSet,
        *,
        seed: int,
        batch_size: int,
        balanced: bool = False,
        successes_from: int | None = None,
    ) -> None:
        self.seed, self.batch_size = seed, batch_size
        self.lengths, self.successes = demos.lengths, demos.successes
        self.balanced = balanced and 0 < self.successes.sum() < len(demos)
        self.successes_from = successes_from if self.successes.any() else None
        self._by_outcome = [np.flatnonzero(~self.successes), np.flatnonzero(self.successes)]
        self._others = _of_other_outcome(demos) if len(set(demos.tasks)) > 1 else None
        self._kept: tuple[int, np.ndarray] | None = None

    def draw(self, step: int) -> Samples:
        """The samples of one step, whatever was drawn before."""
        rng = np.random.default_rng([self.seed, 1, step])
        demo = self._demonstrations(step, rng)
        time = (rng.random(len(demo)) * self.lengths[demo]).astype(np.int64)
        return Samples(demo, time, self._of_other_outcome(demo, rng))

    def _demonstrations(self, step: int, rng: np.random.Generator) -> np.ndarray:
        if self.successes_from is not None and step >= self.successes_from:
            return rng.choice(self._by_outcome[True], self.batch_size)
        return self._balanced(step, rng) if self.balanced else self._epochs(step)

    def _epochs(self, step: int) -> np.ndarray:
        """A stretch of the endless sequence of shuffled epochs."""
        n = len(self.lengths)
        position = np.arange(step * self.batch_size, (step + 1) * self.batch_size)
        epochs = range(position[0] // n, position[-1] // n + 1)
        order = np.concatenate([self._order(epoch) for epoch in epochs])
        return order[position - epochs[0] * n]

    def _order(self, epoch: int) -> np.ndarray:
        """The shuffled demonstrations of one epoch; the last one asked for is kept."""
        if self._kept is None or self._kept[0] != epoch:
            rng = np.random.default_rng([self.seed, 0, epoch])
            self._kept = epoch, rng.permutation(len(self.lengths))
        return self._kept[1]

    def _balanced(self, step: int, rng: np.random.Generator) -> np.ndarray:
        # Alternating from batch to batch too, so that odd batches favour neither.
        outcome = (step * self.batch_size + np.arange(self.batch_size)) % 2
        return np.array([rng.choice(self._by_outcome[o]) for o in outcome])

    def _of_other_outcome(self, demo: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        if any(len(demos) == 0 for demos in self._by_outcome):
            return demo
        pick = rng.random(len(demo))
        if self._others is not None:
            own = [self._others[i] for i in demo]
            return np.array([o[int(p * len(o))] for o, p in zip(own, pick, strict=True)])
        failures, successes = (own[(pick * len(own)).astype(np.int64)] for own in self._by_outcome)
        return np.where(self.successes[demo], failures, successes)


def _of_other_outcome(demos: DemoSet) -> list[np.ndarray]:
    """Of each demonstration, those of its task that ended the other way; itself where none did."""
    tasks, found = np.array(demos.tasks), []
    for i, success in enumerate(demos.successes):
        others = np.flatnonzero((tasks == tasks[i]) & (demos.successes != success))
        found.append(others if len(others) else np.array([i]))
    return found


class DeviceDemos:
    """A `DemoSet` standardised and resident on a device, where batches are cut by indexing.

    Only rows that the demonstrations own are moved there, one demonstration behind the other.
    Images stay uint8, features float16, and both stay memory-mapped on the CPU unless the device
    is a GPU.

    Args:
        demos: the demonstrations.
        normalizer: moments of their vectors.
        cameras: whose images are seen.
        device: where batches are cut.
        maps: camera -> components of its features that are seen at each of their cells.
        tasks: those that are told apart; none when empty.
    """

    def __init__(
        self,
        demos: DemoSet,
        normalizer: Normalizer,
        cameras: Sequence[str],
        device: torch.device,
        maps: Mapping[str, Projection] | None = None,
        tasks: Sequence[str] = (),
    ) -> None:
        self.device = device
        normalizer, rows = normalizer.to(device), demos.rows()
        self.state = normalizer.state.standardise(_on(demos.state[rows], device))
        self.environment_state = normalizer.environment_state.standardise(
            _on(demos.environment_state[rows], device)
        )
        self.action = normalizer.action.standardise(_on(demos.action[rows], device))
        self.starts = _on(demos.packed_starts(), device)
        self.ends = self.starts + _on(demos.lengths, device)
        self.success = _on(demos.successes, device)
        self.images = {c: _frames(demos.images[c], rows, device) for c in cameras}
        self.maps = {
            camera: (_frames(demos.features[camera], rows, device), projection.to(device))
            for camera, projection in (maps or {}).items()
        }
        self.task = _on(_told_apart(demos, tasks), device) if tasks else None
        self.paired = 0 < int(demos.successes.sum()) < len(demos)

    def observe(self, row: Int[Tensor, "*n B"]) -> Observation:
        """What is seen in these rows, counted among those that the demonstrations own."""
        images = {camera: frames[row] for camera, frames in self.images.items()}
        maps = {camera: basis.of(features[row]) for camera, (features, basis) in self.maps.items()}
        task = None if self.task is None else self.task[row]
        return Observation(self.state[row], self.environment_state[row], images, maps, task)

    def place(self, samples: Samples) -> PlacedSamples:
        """The samples on the device."""
        return PlacedSamples(
            *(_on(getattr(samples, own.name), self.device) for own in fields(Samples))
        )

    def batch(self, samples: Samples, chunk: int) -> Batch:
        """`cut` of samples that are not on the device yet."""
        return self.cut(self.place(samples), chunk)

    def cut(self, samples: PlacedSamples, chunk: int) -> Batch:
        """Cut the action chunks and observations of these samples.

        Samples of several policies, (n, B) each, make a batch whose every array has that n first.
        """
        demo = samples.demo
        row = self.starts[demo] + samples.time
        steps = row[..., None] + torch.arange(chunk, device=self.device)
        end = self.ends[demo][..., None]
        return Batch(
            demo=demo,
            other_demo=samples.other_demo,
            success=self.success[demo],
            observation=self.observe(row),
            action=self.action[torch.minimum(steps, end - 1)],
            valid=steps < end,
            paired=self.paired,
        )


def told_apart(task: str, tasks: Sequence[str]) -> Float[np.ndarray, "K"]:
    """1 at this one of the tasks, 0 at the others."""
    return np.array([task == other for other in tasks], dtype=np.float32)


def _told_apart(demos: DemoSet, tasks: Sequence[str]) -> Float[np.ndarray, "frames K"]:
    """The task of each row that the demonstrations own."""
    own = np.stack([told_apart(task, tasks) for task in demos.tasks])
    return np.repeat(own, demos.lengths, axis=0)


def stack_samples(draws: Sequence[Samples]) -> Samples:
    """The samples of several policies as one, (n, B) each."""
    return Samples(*(np.stack([getattr(d, f.name) for d in draws]) for f in fields(Samples)))


def _on(array: np.ndarray, device: torch.device) -> Tensor:
    # A memory map is read-only, which torch does not take without a warning.
    return torch.from_numpy(np.require(array, requirements=("C", "W"))).to(device)


@dataclass(frozen=True)
class _MappedFrames:
    """Frames, or features of them, that stay where they are until they are asked for."""

    frames: np.ndarray
    """(R, height, width, C) uint8 or float16."""
    rows: np.ndarray
    """(frames,) int64, which of them are there to be asked for."""

    def __getitem__(self, row: Tensor) -> Tensor:
        return torch.from_numpy(self.frames[self.rows[row.numpy()]])


def _frames(frames: np.ndarray, rows: np.ndarray, device: torch.device) -> Tensor | _MappedFrames:
    if device.type == "cpu":
        return _MappedFrames(frames, rows)
    return _on(frames[rows], device)

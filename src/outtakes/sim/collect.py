"""Demonstrations by the scripted operator, as recordings ready for a dataset.

Attempt i is a pure function of (seed, i), and the first so many successes and failures by number
are kept, so what is collected depends neither on the number of workers nor on their timing.
Attempts are simulated first; only those that are kept are replayed for the cameras.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import count

import numpy as np

from outtakes import processes
from outtakes.data.recording import Recording
from outtakes.errors import ConfigError, UnknownName
from outtakes.progress import Progress
from outtakes.sim.environment import Environment, make_environment
from outtakes.sim.initial_states import InitialStates, Stream
from outtakes.sim.operators.demonstrator import Demonstrator
from outtakes.sim.operators.mistake import Mistake

STEPS_AFTER_SUCCESS = 5
"""Control steps recorded after the one that solved the task."""

_CHUNK = 8
_ATTEMPTS_PER_DEMONSTRATION = 40
_FEWEST_ATTEMPTS = 200


@dataclass(frozen=True)
class CollectConfig:
    """What to collect.

    Raises:
        ConfigError: when a number is out of range.
    """

    environment: str = "lift"
    """Name of the simulated task."""
    successes: int = 50
    """Successful demonstrations to keep."""
    failures: int = 50
    """Failed demonstrations to keep."""
    seed: int = 0
    """Attempt i is a pure function of this seed and i."""
    mistake_rate: float = 0.75
    """Share of attempts in which the operator makes a mistake, trivial or gross."""
    cameras: tuple[str, ...] = ("overhead",)
    """Cameras to record; none for the low-dimensional observation alone."""
    image_size: int = 96
    """Height and width of the images, pixels."""

    def __post_init__(self) -> None:
        if min(self.successes, self.failures) < 0 or self.successes + self.failures == 0:
            raise ConfigError(
                f"{self.successes} successes and {self.failures} failures",
                remedy="ask for at least one demonstration, and for no negative number",
            )
        if self.seed < 0:
            raise ConfigError(f"seed {self.seed}", remedy="give a seed of 0 or more")
        if not 0 <= self.mistake_rate <= 1:
            raise ConfigError(
                f"mistake rate {self.mistake_rate}", remedy="give a share between 0 and 1"
            )
        if self.image_size < 1:
            raise ConfigError(f"image size {self.image_size}", remedy="give at least 1 pixel")


@dataclass(frozen=True)
class Attempt:
    """One simulated episode before its images are rendered."""

    number: int
    mistake: Mistake | None
    initial_state: np.ndarray
    """What `Environment.reset` takes."""
    features: dict[str, np.ndarray]
    """All but the images; `action` is (T, A) and `next.success` (T,)."""

    @property
    def success(self) -> bool:
        """Whether the environment's own check held at any step."""
        return bool(self.features["next.success"].any())


def collect(
    config: CollectConfig, *, workers: int = 1, progress: Progress | None = None
) -> Iterator[Recording]:
    """Collect demonstrations, in the order of their attempts.

    Args:
        config: what to collect.
        workers: processes to simulate and render in; 1 works in this one.
        progress: told of every episode simulated and kept, then of every one rendered.

    Yields:
        One recording at a time, so that videos need not be held in memory. Its metadata are
        attempt, seed, mistake (kind or "none"), mistake_size with mistake_unit, mistake_share of
        the largest of its kind, and what `Environment.describe` says.

    Raises:
        ConfigError: when the operator hardly ever brings about the outcome asked for, or there is
            no worker.
        UnknownName: when the environment or a camera does not exist.
        MachineError: when images are asked for and OpenGL does not work, or a worker is killed.
    """
    if workers < 1:
        raise ConfigError(f"{workers} workers", remedy="give at least 1")
    environment = _environment(config.environment)
    check_cameras(config.cameras, environment)
    report = progress or _say_nothing
    total = config.successes + config.failures
    with _apply_in(workers) as apply:
        starts = ((config, start) for start in count(0, _CHUNK))
        # Held by nothing else, the chunks under way are called off when there are enough.
        attempts = _keep_first(config, apply(_simulate_chunk, starts), report)
        recordings = apply(_record, ((config, attempt) for attempt in attempts))
        for done, recording in enumerate(recordings, start=1):
            report(done, total, "render")
            yield recording


def check_cameras(cameras: Iterable[str], environment: Environment) -> None:
    """Refuse a camera that the environment does not have.

    Raises:
        UnknownName: naming it.
    """
    for camera in cameras:
        if camera not in environment.cameras:
            raise UnknownName("camera", camera, environment.cameras)


def simulate_attempt(config: CollectConfig, environment: Environment, number: int) -> Attempt:
    """Simulate attempt `number`: a pure function of the seed and the number."""
    rng = InitialStates(Stream.COLLECT, config.seed).rng(number)
    initial_state = environment.sample_initial_state(rng)
    operator = environment.demonstrator(rng, config.mistake_rate)
    # The operator forgets its mistake once it retries.
    mistake = operator.mistake
    environment.reset(initial_state)
    features = _demonstrate(environment, operator)
    return Attempt(number, mistake, initial_state, features)


def _demonstrate(environment: Environment, operator: Demonstrator) -> dict[str, np.ndarray]:
    frames: dict[str, list] = {}
    left = environment.horizon
    while left > 0:
        observation = environment.observe()
        action = operator.act(observation)
        if operator.finished and frames:
            break
        solved = environment.step(action)
        for name, value in {**observation, "action": action, "next.success": solved}.items():
            frames.setdefault(name, []).append(value)
        first_time = solved and sum(frames["next.success"]) == 1
        left = min(left - 1, STEPS_AFTER_SUCCESS) if first_time else left - 1
    return {name: np.array(values) for name, values in frames.items()}


def _keep_first(
    config: CollectConfig, chunks: Iterable[list[Attempt]], report: Progress
) -> list[Attempt]:
    """Keep the first successes and failures by number, until there are enough of both."""
    wanted = {True: config.successes, False: config.failures}
    total, tried, kept = sum(wanted.values()), 0, []
    for chunk in chunks:
        for attempt in chunk:
            if wanted[attempt.success]:
                wanted[attempt.success] -= 1
                kept.append(attempt)
                report(len(kept), total, "simulate")
        if len(kept) == total:
            return kept
        tried = chunk[-1].number + 1
        if tried >= max(_ATTEMPTS_PER_DEMONSTRATION * total, _FEWEST_ATTEMPTS):
            break
    raise ConfigError(
        f"{tried} attempts still lack {wanted[True]} successes and "
        f"{wanted[False]} failures at mistake rate {config.mistake_rate}",
        remedy="choose a mistake rate that brings about both, such as 0.75",
    )


def _record(config: CollectConfig, attempt: Attempt) -> Recording:
    """Replay an attempt for the cameras."""
    environment = _environment(config.environment)
    images = film(environment, attempt, config.cameras, config.image_size)
    mistake = attempt.mistake
    return Recording(
        features={**attempt.features, **images},
        task=environment.task,
        metadata={
            "attempt": attempt.number,
            "seed": config.seed,
            "mistake": mistake.kind if mistake else "none",
            "mistake_size": mistake.size if mistake else 0.0,
            "mistake_unit": mistake.unit if mistake else "",
            "mistake_share": mistake.share if mistake else 0.0,
            **environment.describe(attempt.features),
        },
    )


def film(
    environment: Environment, attempt: Attempt, cameras: tuple[str, ...], size: int
) -> dict[str, np.ndarray]:
    """Replay an attempt for the cameras.

    Returns:
        Images of every frame, by feature name, each (T, size, size, 3) uint8.
    """
    actions = attempt.features["action"]
    shape = (len(actions), size, size, 3)
    films = {camera: np.empty(shape, np.uint8) for camera in cameras}
    if not films:
        return {}
    environment.reset(attempt.initial_state)
    for frame, action in enumerate(actions):
        for camera, pictures in films.items():
            pictures[frame] = environment.render(camera, size, size)
        environment.step(action)
    return {f"observation.images.{camera}": pictures for camera, pictures in films.items()}


@lru_cache(maxsize=1)
def _environment(name: str) -> Environment:
    return make_environment(name)


def _simulate_chunk(config: CollectConfig, start: int) -> list[Attempt]:
    environment = _environment(config.environment)
    numbers = range(start, start + _CHUNK)
    return [simulate_attempt(config, environment, number) for number in numbers]


def _say_nothing(done: int, total: int, what: str) -> None:
    pass


type _Apply = Callable[[Callable, Iterable[tuple]], Iterator]


@contextmanager
def _apply_in(workers: int) -> Iterator[_Apply]:
    """A lazy, ordered starmap over this process or several."""
    if workers == 1:
        yield lambda function, calls: (function(*call) for call in calls)
        return
    with processes.workers(workers, initializer=_prepare_worker) as pool:
        yield partial(processes.apply_ahead, pool, ahead=2 * workers)


def _prepare_worker() -> None:
    # One software-rendering thread each: the processes share out the cores among themselves.
    os.environ.setdefault("LP_NUM_THREADS", "1")

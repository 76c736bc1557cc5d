"""Smoothness: spectral arc length of how fast a demonstration moves.

SPARC of Balasubramanian, Melendez-Calderon, Roby-Brami and Burdet (2015, J. NeuroEngineering and
Rehabilitation 12): a jerky movement has a speed whose spectrum is long.
"""

from __future__ import annotations

import numpy as np
import torch

from outtakes.data.demo import DemoSet
from outtakes.data.normalize import Moments
from outtakes.errors import DatasetError
from outtakes.progress import Progress
from outtakes.ranking.measure import End, Measure, Needs
from outtakes.ranking.ranker import DatasetRanker, RunScores, apart
from outtakes.ranking.vectors import by_demonstration
from outtakes.shapes import Float

_HIGHEST = 10.0
"""Hz: faster than hands move; what is above is noise."""
_FAINTEST = 0.05
"""Share of the largest amplitude; the spectrum ends where it stays below."""
_PADDING = 4
"""Spectra are sampled at so many doublings of the number of frames."""


class SmoothnessRanker(DatasetRanker):
    """Spectral arc length of the speed of the robot's state."""

    measure = Measure(
        key="smoothness",
        name="smoothness",
        symbol="SAL",
        unit="of arc",
        meaning="Spectral arc length of the speed of the robot's state: minus the length of the "
        "curve that its Fourier spectrum draws. Near −1.5 for one smooth stroke; the more the "
        "movement stops and starts or trembles, the further below. It knows neither how long nor "
        "how large the movement is.",
        needs=Needs.DATASET,
        useful=End.HIGH,
    )

    def score(self, demos: DemoSet, *, progress: Progress | None = None) -> RunScores:
        """Score every failure.

        Raises:
            DatasetError: when there is no success, no failure or no state.
        """
        successes, failures = apart(demos)
        if not demos.state.shape[1]:
            raise DatasetError(
                "no state whose movement could be smooth",
                where=demos.name,
                remedy="rank by another measure",
            )
        moments = Moments.of(demos.state[successes.rows()])
        state = moments.standardise(torch.from_numpy(demos.state[failures.rows()])).numpy()
        values = [
            spectral_arc_length(_speed(own), demos.fps) for own in by_demonstration(state, failures)
        ]
        return RunScores.of(failures, successes, np.array(values))


def _speed(positions: np.ndarray) -> np.ndarray:
    """(T,) distance moved to each frame from the one before; 0 at the first."""
    return np.linalg.norm(np.diff(positions, axis=0, prepend=positions[:1]), axis=1)


def spectral_arc_length(speed: Float[np.ndarray, "T"], fps: float) -> float:
    """−∫₀^ω_c √((1/ω_c)² + (dV̂/dω)²) dω, V̂ the amplitude spectrum over its value at 0.

    ω_c is the highest frequency, up to 10 Hz, at which V̂ reaches 0.05. At rest it is 0.

    Args:
        speed: at each frame, in any unit.
        fps: frames a second.
    """
    if not speed.any():
        return 0.0
    size = 2 ** int(np.ceil(np.log2(len(speed))) + _PADDING)
    frequencies = np.fft.rfftfreq(size, 1 / fps)
    amplitude = np.abs(np.fft.rfft(speed, size))
    amplitude /= amplitude[0]
    audible = np.flatnonzero((amplitude >= _FAINTEST) & (frequencies <= _HIGHEST))
    amplitude = amplitude[: audible[-1] + 1]
    if len(amplitude) < 2:
        return -1.0
    steps = np.hypot(1 / (len(amplitude) - 1), np.diff(amplitude))
    return -float(steps.sum())

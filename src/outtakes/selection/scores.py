"""Scores: how far the attention of each failure lies from that of the successes (Eq. 5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from outtakes.errors import ArtifactError
from outtakes.files import read_json, write_json

_KIND, _VERSION = "scores", 1


@dataclass(frozen=True)
class FailureScore:
    """One failed demonstration's distance to the successes, from every training seed."""

    episode: int
    """Episode index in the dataset."""
    per_seed: Mapping[int, float]
    """Training seed -> K(f) in nats, Eq. 5: the sum over successes of the time mean of D_sym."""
    over_time: Sequence[float]
    """(T,) nats: D_sym at each time step, averaged over successes and seeds; interpolated between
    the time steps of a sample."""
    nearest_success: int
    """Episode index of the success at the least distance, averaged over seeds; of those compared
    when pairs were sampled."""
    standard_error: float | None = None
    """Of K̄(f) in nats, over other samples of (time step, success) pairs; None when every pair was
    compared and K̄(f) is exact. It says nothing of how training seeds differ."""

    @property
    def mean(self) -> float:
        """K̄(f) in nats: K(f) averaged over the training seeds."""
        return float(np.mean(list(self.per_seed.values())))


@dataclass(frozen=True)
class Scores:
    """The ranking of every failure of a dataset.

    Raises:
        ArtifactError: when failures disagree about the seeds, or a value is not finite.
    """

    dataset: str
    """Name of the dataset, for messages."""
    content_hash: str
    """Content hash of the dataset the runs were trained on."""
    n_successes: int
    """|S|, the number of successes each failure was compared with."""
    failures: Sequence[FailureScore]
    """One entry a failed demonstration, in dataset order."""
    kendall_tau: float | None
    """Mean rank agreement of all pairs of seeds, in [-1, 1]; None with a single seed."""
    bias_map: Sequence[tuple[int, bool, float, float]]
    """(episode, success, x, y): the PB tables of the first seed on their first two principal
    components, for Figures 5 and 6 of the paper."""

    def __post_init__(self) -> None:
        seeds = {tuple(sorted(f.per_seed)) for f in self.failures}
        if len(seeds) != 1 or not next(iter(seeds)):
            raise ArtifactError(
                f"failures were scored with different seeds {sorted(seeds)}",
                where=self.dataset,
                remedy="rank again with the same runs for every failure",
            )
        bad = [f.episode for f in self.failures if not np.isfinite(f.mean)]
        if bad:
            raise ArtifactError(
                f"the score of episode {bad[0]} is not finite",
                where=self.dataset,
                remedy="train again; the run diverged",
            )

    @property
    def seeds(self) -> list[int]:
        """Training seeds the scores were averaged over."""
        return sorted(self.failures[0].per_seed)

    @property
    def successes(self) -> list[int]:
        """Episode indices of the successes that the runs were trained on."""
        return [episode for episode, success, _, _ in self.bias_map if success]

    def ranked(self) -> list[FailureScore]:
        """The failures from nearest to farthest; ties go by episode index."""
        return sorted(self.failures, key=lambda f: (f.mean, f.episode))

    def save(self, path: Path) -> None:
        """Write `scores.json`."""
        failures = [
            {
                "episode": f.episode,
                "k": f.mean,
                "k_per_success": f.mean / self.n_successes,
                "k_standard_error": f.standard_error,
                "per_seed": {str(seed): k for seed, k in f.per_seed.items()},
                "nearest_success": f.nearest_success,
                "over_time": [float(k) for k in f.over_time],
            }
            for f in self.failures
        ]
        content = {
            "dataset": self.dataset,
            "content_hash": self.content_hash,
            "n_successes": self.n_successes,
            "kendall_tau": self.kendall_tau,
            "failures": failures,
            "bias_map": [list(point) for point in self.bias_map],
        }
        write_json(path, _KIND, _VERSION, content)

    @staticmethod
    def load(path: Path) -> Scores:
        """Read `scores.json`.

        Raises:
            ArtifactError: when it is missing, damaged or of another version.
        """
        content = read_json(path, _KIND, _VERSION)
        try:
            return _parse(content)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ArtifactError(
                f"the scores file lacks or garbles {error}", where=path, remedy="rank again"
            ) from error


def _parse(content: Mapping[str, Any]) -> Scores:
    failures = [
        FailureScore(
            episode=int(f["episode"]),
            per_seed={int(seed): float(k) for seed, k in f["per_seed"].items()},
            over_time=[float(k) for k in f["over_time"]],
            nearest_success=int(f["nearest_success"]),
            standard_error=_number(f.get("k_standard_error")),
        )
        for f in content["failures"]
    ]
    return Scores(
        dataset=content["dataset"],
        content_hash=content["content_hash"],
        n_successes=int(content["n_successes"]),
        failures=failures,
        kendall_tau=content["kendall_tau"],
        bias_map=[(int(e), bool(s), float(x), float(y)) for e, s, x, y in content["bias_map"]],
    )


def _number(value: Any) -> float | None:
    return None if value is None else float(value)

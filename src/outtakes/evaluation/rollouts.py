"""Rollout log: what happened in every rollout of every arm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from outtakes.errors import ArtifactError
from outtakes.files import Location, write_atomically


def treatment(arm: str, steering: str) -> str:
    """What a comparison compares: an arm under one steering, for example "pb-kl-low (mean)"."""
    return f"{arm} ({steering})" if steering else arm


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """One rollout of one policy from one initial state."""

    arm: str
    """What was trained on what, for example "pb-kl-low"."""
    steering: str = ""
    """What the policy was steered by, for example "nearest" or "mean"; "" when by nothing, or by
    its default."""
    seed: int
    """Training seed of the policy."""
    initial_state: int
    """Index into the list of initial states that all arms share."""
    success: bool
    steps: int
    """Control steps until success, or the horizon."""
    retrieved_episode: int
    """Episode index of the success whose PB steered the policy; -1 without PB."""
    drawn_from: str = ""
    """Stream and seed of the initial states, for example "evaluate/0"; "" in logs older than the
    streams, whose states may be those of training demonstrations."""

    @property
    def treatment(self) -> str:
        """What it counts for in comparisons."""
        return treatment(self.arm, self.steering)


@dataclass(frozen=True)
class RolloutLog:
    """Rollouts of any number of arms, each arm over the same initial states.

    Raises:
        ArtifactError: when one (arm, steering, seed, initial state) appears twice.
    """

    rollouts: Sequence[Rollout]

    def __post_init__(self) -> None:
        keys = {(r.treatment, r.seed, r.initial_state) for r in self.rollouts}
        if len(keys) != len(self.rollouts):
            raise ArtifactError(
                "a rollout of one arm, steering, seed and initial state appears twice",
                remedy="evaluate again into an empty folder",
            )

    def outcomes(self) -> Mapping[str, Mapping[int, np.ndarray]]:
        """Treatment -> training seed -> (n_states,) bool success, by initial state.

        Raises:
            ArtifactError: when not all were drawn from one stream with one seed.
        """
        if len(lists := {r.drawn_from for r in self.rollouts}) > 1:
            raise ArtifactError(
                f"rollouts from different initial states: {', '.join(sorted(lists))}",
                remedy="evaluate all arms from the same ones",
            )
        by_treatment: dict[str, dict[int, dict[int, bool]]] = {}
        for r in self.rollouts:
            seeds = by_treatment.setdefault(r.treatment, {})
            seeds.setdefault(r.seed, {})[r.initial_state] = r.success
        return {
            name: {
                seed: np.array([states[i] for i in sorted(states)], dtype=bool)
                for seed, states in seeds.items()
            }
            for name, seeds in by_treatment.items()
        }

    def merged(self, other: RolloutLog) -> RolloutLog:
        """Both logs in one."""
        return RolloutLog([*self.rollouts, *other.rollouts])

    def save(self, path: Location) -> None:
        """Write `rollouts.parquet`, one row a rollout."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        table = pa.Table.from_pylist([vars(r) for r in self.rollouts])
        write_atomically(path, lambda temporary: pq.write_table(table, temporary))

    @staticmethod
    def load(path: Location) -> RolloutLog:
        """Read `rollouts.parquet`.

        Raises:
            ArtifactError: when it is missing or damaged.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            rows = pq.read_table(path).to_pylist()
            return RolloutLog([Rollout(**_updated(row)) for row in rows])
        except FileNotFoundError:
            raise ArtifactError("no rollouts", where=path, remedy="evaluate first") from None
        except (pa.ArrowInvalid, OSError, TypeError, KeyError) as error:
            reason = " ".join(str(error).split())
            raise ArtifactError(
                f"cannot read the rollouts ({reason})", where=path, remedy="evaluate again"
            ) from error


def _updated(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row as it is, or of a file older than the column `steering`: it was in the arm's name."""
    if "steering" in row:
        return dict(row)
    arm = row["arm"]
    if arm.endswith("-mean"):
        return {**row, "arm": arm.removesuffix("-mean"), "steering": "mean"}
    return {**row, "steering": "nearest" if row["retrieved_episode"] >= 0 else ""}

"""Signals recorded beside rollouts: `signals.parquet`, a row for every query of a policy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from outtakes.files import write_atomically
from outtakes.monitoring.signal import Signal
from outtakes.policy.decision import Decision


@dataclass
class SignalLog:
    """Values of some signals at every query, as they come."""

    signals: Sequence[Signal]
    rows: list[dict[str, Any]] = field(default_factory=list)
    """Column -> value: arm, steering, seed, initial_state, step, and each signal by its name."""

    def watch(self, arm: str, steering: str, seed: int) -> Callable[[Decision], None]:
        """Told every decision of one policy, this records them; episodes that are over are left
        out."""

        def record(decision: Decision) -> None:
            values = {signal.name: signal.at(decision) for signal in self.signals}
            for i, episode in enumerate(decision.episodes):
                if decision.running[i]:
                    key = {"arm": arm, "steering": steering, "seed": seed}
                    place = {"initial_state": int(episode), "step": decision.step}
                    own = {name: float(each[i]) for name, each in values.items()}
                    self.rows.append(key | place | own)

        return record

    def save(self, path: Path) -> None:
        """Write `signals.parquet`; a value that cannot be told is null there."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        names = ("arm", "steering", "seed", "initial_state", "step")
        columns = {name: pa.array([row[name] for row in self.rows]) for name in names}
        for signal in self.signals:
            values = [row[signal.name] for row in self.rows]
            columns[signal.name] = pa.array(values, pa.float64(), from_pandas=True)
        write_atomically(path, lambda draft: pq.write_table(pa.table(columns), draft))

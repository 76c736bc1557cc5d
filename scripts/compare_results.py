"""Two demo folders, value by value: the data, every tensor of every run, the scores, the rollouts.

    python scripts/compare_results.py FOLDER_A FOLDER_B

Reads the files themselves and nothing of Outtakes, so that it compares folders of any revisions.
Exit code 1 when a value differs.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from safetensors.numpy import load_file


def demonstrations(demo: Path) -> dict[str, Any]:
    """Column of each data file -> its values."""
    found: dict[str, Any] = {}
    for file in sorted((demo / "dataset" / "data").rglob("*.parquet")):
        table = pq.read_table(file)
        found |= {f"{file.name}/{n}": np.array(table[n].to_pylist()) for n in table.column_names}
    return found


def tensors(demo: Path) -> dict[str, Any]:
    """Arm, seed and name of each tensor -> its values."""
    runs = demo / "runs"
    return {
        f"{file.parent.relative_to(runs)}/{_renamed(name)}": tensor
        for file in sorted(runs.rglob("checkpoint.safetensors"))
        for name, tensor in load_file(file).items()
    }


def _renamed(name: str) -> str:
    """A tensor by the name it has in checkpoints of version 2."""
    for once, now in (("bank.", "memory."), ("rows.", "rows.bias.table.")):
        if name.startswith(once) and not name.startswith(now):
            return now + name.removeprefix(once)
    return name


def scores(demo: Path) -> dict[str, Any]:
    """Failure and seed -> score; what else a failure is scored by goes with it."""
    content = json.loads((demo / "scores.json").read_text(encoding="utf-8"))
    found: dict[str, Any] = {}
    for failure in content["failures"]:
        episode = failure["episode"]
        found |= {f"{episode}/{seed}": value for seed, value in failure["per_seed"].items()}
        found[f"{episode}/nearest"] = failure["nearest_success"]
        found[f"{episode}/over_time"] = np.array(failure["over_time"])
    return found


def rollouts(demo: Path) -> dict[str, Any]:
    """Arm, steering, seed and initial state -> outcome, steps and the success retrieved."""
    return {
        "/".join(map(str, (*_arm(row), row["seed"], row["initial_state"]))): (
            row["success"],
            row["steps"],
            row["retrieved_episode"],
        )
        for row in pq.read_table(demo / "rollouts.parquet").to_pylist()
    }


def _arm(row: Mapping[str, Any]) -> tuple[str, str]:
    """Arm and steering; once the steering was part of the arm's name."""
    arm = row["arm"]
    if "steering" in row:
        return arm, row["steering"]
    if arm.endswith("-mean"):
        return arm.removesuffix("-mean"), "mean"
    return arm, "nearest" if row["retrieved_episode"] >= 0 else ""


def differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterator[str]:
    """Names whose values differ, or that one side lacks."""
    for name in sorted({*a, *b}):
        if name not in a or name not in b:
            yield f"{name} (only in {'A' if name in a else 'B'})"
        elif not np.array_equal(a[name], b[name]):
            yield name


def main(a: Path, b: Path) -> int:
    """Compare and say what differs."""
    different = 0
    for what in (demonstrations, tensors, scores, rollouts):
        ours, theirs = what(a), what(b)
        names = list(differences(ours, theirs))
        different += len(names)
        verdict = f"{len(names)} differ: {', '.join(names[:5])}" if names else "equal"
        print(f"{what.__name__}: {len(ours)} values, {verdict}")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))

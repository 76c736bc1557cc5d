"""What triage takes beyond training: reading, ranking, selecting, the proxy, the report.

Long training would hide anything, so the shortest recipe is timed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.rollouts import demonstrations
from benchmarks.side_by_side import Row, seconds

RECIPE = "brisk"


def beyond_training(folder: Path, repeats: int = 1) -> Row:
    """`outtakes triage` on 100 episodes of Lift, from nothing: its training and all the rest.

    Args:
        folder: where demonstrations are kept.
        repeats: runs, each into a folder and with a frame cache of its own; one takes minutes.
    """
    demonstrations(folder)
    times = [_run(folder / "dataset") for _ in range(repeats)]
    return Row(
        f"outtakes triage, 100 episodes, recipe {RECIPE}: all but training",
        "its own training",
        "triage",
        [rest for rest, _ in times],
        [training for _, training in times],
        "at most 10 % of the training, a ratio of 10",
    )


def _run(dataset: Path) -> tuple[float, float]:
    """Seconds of everything but training, from the start of the process, and of training."""
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "out"
        program = Path(sys.executable).with_name("outtakes")
        command = [program, "triage", dataset, "--recipe", RECIPE, "--out", out, "--json"]
        environment = {**os.environ, "OUTTAKES_CACHE": scratch}
        whole = seconds(
            lambda: subprocess.run(command, check=True, capture_output=True, env=environment)
        )
        stages = json.loads((out / "durations.json").read_text(encoding="utf-8"))["seconds"]
    training = stages["train"] + stages["cross-validate"]
    return whole - training, training

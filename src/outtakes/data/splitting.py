"""LeRobot's own `split_dataset`, as a program: it writes to the terminal and into the caches of its
libraries, which the caller sends elsewhere.

Run by `outtakes.data.subset`; takes one JSON object on standard input.
"""

from __future__ import annotations

import json
import sys

SPLIT = "kept"
"""Folder that the new dataset gets below the one asked for."""


def main() -> None:
    """Write the episodes asked for as a dataset of their own."""
    from lerobot.datasets.dataset_tools import split_dataset
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    request = json.load(sys.stdin)
    episodes = request["episodes"]
    source = LeRobotDataset("local/source", root=request["source"], episodes=episodes)
    split_dataset(source, {SPLIT: episodes}, output_dir=request["out"])


if __name__ == "__main__":
    main()

"""The instructions of a dataset, frame by frame."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from outtakes.data.lerobot import parquet
from outtakes.data.lerobot.layout import Layout
from outtakes.data.lerobot.rows import Rows
from outtakes.errors import DatasetError


@dataclass(frozen=True)
class RowTasks:
    """What was asked for at each frame."""

    texts: tuple[str, ...]
    """Each instruction once."""
    indices: np.ndarray
    """(R,) int64, place of each row's instruction among them."""

    def of(self, first: int, count: int) -> list[str]:
        """The instructions of these rows, each once."""
        return [self.texts[i] for i in dict.fromkeys(self.indices[first : first + count].tolist())]

    def write(self, root: Path) -> None:
        """Write `meta/tasks.parquet`, as LeRobot has it: with the text as pandas' index."""
        import pandas as pd

        index = pd.Index(list(self.texts), name="task")
        table = pd.DataFrame({"task_index": range(len(self.texts))}, index=index)
        table.to_parquet(root / "meta" / "tasks.parquet")


def row_tasks(layout: Layout, rows: Rows) -> RowTasks:
    """The instructions of these rows: those of the frames, or else of their episodes."""
    by_episode = np.repeat(np.array(layout.tasks or [""] * len(layout.lengths)), layout.lengths)
    told = rows.columns.get("task_index")
    texts: list[str] = [str(text) for text in by_episode]
    if told is not None:
        known = {part: _read(layout.root / part) for part in layout.parts}
        parts = np.repeat([_part(layout, file) for file in layout.episode_files], layout.lengths)
        numbers = told.reshape(-1).tolist()
        texts = [
            known[part].get(number, text)
            for part, number, text in zip(parts.tolist(), numbers, texts, strict=True)
        ]
    unique: list[str] = list(dict.fromkeys(texts))
    place = {text: i for i, text in enumerate(unique)}
    return RowTasks(tuple(unique), np.array([place[text] for text in texts], dtype=np.int64))


def _part(layout: Layout, file: str) -> str:
    return next(part for part in layout.parts if file.startswith(f"{part}/" if part else ""))


def _read(root: Path) -> dict[int, str]:
    """Index -> instruction, of a dataset of any version; empty when nothing can be read."""
    lines, table = root / "meta" / "tasks.jsonl", root / "meta" / "tasks.parquet"
    try:
        if lines.is_file():
            entries = [json.loads(line) for line in lines.read_text("utf-8").splitlines() if line]
            return {int(entry["task_index"]): str(entry["task"]) for entry in entries}
        found = parquet.read_table(table).to_pydict()
        (text,) = [name for name in found if name != "task_index"]
        return dict(zip(found["task_index"], map(str, found[text]), strict=True))
    except (DatasetError, OSError, ValueError, KeyError, TypeError):
        return {}

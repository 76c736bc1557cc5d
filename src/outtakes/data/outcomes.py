"""How each episode ended, from the label conventions in use.

Sources, in order of precedence; each is looked at only for episodes that no earlier one labels:

1. `episode_labels.json` in the dataset's folder: `{"0": "success", "1": "failure"}`, for some
   episodes or all of them. It is where a person overrules the dataset.
2. The per-frame column `next.success`, LeRobot's and Gymnasium's convention.
3. The per-frame column `is_success`.
4. The per-frame column `success`.

An episode with a column succeeded if any of its frames says so.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from outtakes.data.demo import Outcome
from outtakes.errors import DatasetError

SIDECAR = "episode_labels.json"
"""Name of the file in which a person may label episodes."""

COLUMNS = ("next.success", "is_success", "success")
"""Per-frame columns that tell success, by precedence."""


def find_outcomes(
    root: Path,
    episode_indices: np.ndarray,
    starts: np.ndarray,
    columns: Mapping[str, np.ndarray],
) -> np.ndarray:
    """Whether each episode succeeded.

    Args:
        root: the dataset's folder.
        episode_indices: (N,) int64.
        starts: (N + 1,) row offsets of the episodes.
        columns: per-frame column name -> (R,) truth values; those not in `COLUMNS` are ignored.

    Returns:
        (N,) bool.

    Raises:
        DatasetError: when an episode has no label, or a label is none of success and failure.
    """
    labels = from_columns(episode_indices, starts, columns)
    labels |= from_sidecar(root / SIDECAR, episode_indices)
    unlabelled = [int(e) for e in episode_indices if int(e) not in labels]
    if unlabelled:
        raise DatasetError(
            f"no outcome for episode {unlabelled[0]}; looked for {SIDECAR} and the columns "
            f"{', '.join(COLUMNS)}",
            where=root,
            remedy=f'write {SIDECAR} there: {{"0": "success", "1": "failure", ...}}',
        )
    return np.array([labels[int(e)] for e in episode_indices], dtype=bool)


def from_columns(
    episode_indices: np.ndarray, starts: np.ndarray, columns: Mapping[str, np.ndarray]
) -> dict[int, bool]:
    """Episode index -> success, from the first of `COLUMNS` there is."""
    name = next((column for column in COLUMNS if column in columns), None)
    if name is None:
        return {}
    true_before = np.concatenate([[0], np.cumsum(columns[name].astype(bool))])
    succeeded = true_before[starts[1:]] > true_before[starts[:-1]]
    return dict(zip(episode_indices.tolist(), succeeded.tolist(), strict=True))


def from_sidecar(path: Path, episode_indices: np.ndarray) -> dict[int, bool]:
    """Episode index -> success, from a label file; empty when there is none.

    Raises:
        DatasetError: when the file is malformed or names an episode that does not exist.
    """
    if not path.exists():
        return {}
    known = set(episode_indices.tolist())
    return dict(_label(path, key, value, known) for key, value in _entries(path).items())


def _entries(path: Path) -> dict[str, object]:
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DatasetError(
            f"cannot read the labels ({error})", where=path, remedy="mend the file"
        ) from error
    if not isinstance(entries, dict):
        raise DatasetError(
            f"labels are a {type(entries).__name__}",
            where=path,
            remedy='write an object: {"0": "success", "1": "failure", ...}',
        )
    return entries


def _label(path: Path, key: str, value: object, known: set[int]) -> tuple[int, bool]:
    if not key.isdecimal() or int(key) not in known:
        raise DatasetError(
            f"label for episode {key!r}, which the dataset does not have",
            where=path,
            remedy=f"use episode indices between {min(known)} and {max(known)}",
        )
    if value not in (Outcome.SUCCESS, Outcome.FAILURE):
        raise DatasetError(
            f"label {value!r} of episode {key}",
            where=path,
            remedy='use "success" or "failure"',
        )
    return int(key), value == Outcome.SUCCESS

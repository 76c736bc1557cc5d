"""The description of a LeRobot dataset, `meta/info.json`, read and checked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from outtakes.data.lerobot.faults import RESTORE
from outtakes.errors import DatasetError


def read_info(root: Path) -> dict[str, Any]:
    """The description of a dataset of any version.

    Raises:
        DatasetError: when there is no dataset, or its description is damaged.
    """
    if not root.is_dir():
        raise DatasetError(
            "no such dataset folder",
            where=root,
            remedy="check the path; a dataset of the hub is named owner/name",
        )
    path = root / "meta" / "info.json"
    if not path.is_file():
        raise DatasetError(
            "not a LeRobot dataset (no meta/info.json)",
            where=root,
            remedy="give the folder that holds meta/, data/ and videos/",
        )
    try:
        info = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DatasetError(
            f"cannot read the dataset's description ({error})", where=path, remedy=RESTORE
        ) from error
    _check_info(path, info)
    return info


def _check_info(path: Path, info: Any) -> None:
    if not isinstance(info, dict):
        raise DatasetError("no description of a dataset", where=path, remedy=RESTORE)
    features, fps, data_path = (info.get(key) for key in ("features", "fps", "data_path"))
    sound = isinstance(features, dict) and all(isinstance(f, dict) for f in features.values())
    if not (sound and isinstance(fps, int | float) and fps > 0 and isinstance(data_path, str)):
        raise DatasetError(
            "features, fps or data_path is missing or malformed", where=path, remedy=RESTORE
        )

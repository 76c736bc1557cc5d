"""LeRobotDataset v2.1: converted by LeRobot itself, in a copy, once.

The converter runs as a program of its own: it works in place, writes to the terminal and into the
caches of its libraries. It gets a copy to work on, its caches beside that copy, and no network.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import uuid
from importlib.util import find_spec
from pathlib import Path

from outtakes.data import frames
from outtakes.data.hashing import content_hash
from outtakes.errors import DatasetError, MachineError
from outtakes.files import unwritable

_CONVERTER = "lerobot.scripts.convert_dataset_v21_to_v30"
_PARTS = ("meta", "data", "videos")


def converted(root: Path, cache_dir: Path | None = None) -> Path:
    """The same dataset as v3.0, in the cache; `root` is only read.

    The copy is named after the content of the original, so it cannot go stale, and takes its name
    when it is whole.

    Raises:
        DatasetError: when the converter fails, which it does on damaged datasets.
        MachineError: when LeRobot is missing, or the cache cannot be written.
    """
    files = {
        path.relative_to(root).as_posix(): path
        for part in _PARTS
        for path in (root / part).rglob("*")
        if path.is_file()
    }
    content = content_hash(files, {"converted to": "v3.0"})
    folder = (cache_dir or frames.cache_root()) / "converted" / content
    if not folder.is_dir():
        _convert_into(folder, root)
    return folder


def _convert_into(folder: Path, root: Path) -> None:
    draft = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}")
    copy = draft / "dataset"
    try:
        for part in _PARTS:
            if (root / part).is_dir():
                shutil.copytree(root / part, copy / part)
        _run_converter(root, copy)
        if not folder.is_dir():
            copy.rename(folder)
    except (OSError, shutil.Error) as error:
        # Another process may have made the same copy meanwhile.
        if not folder.is_dir():
            reason = error if error.errno else OSError(0, str(error))
            raise unwritable(folder, reason) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _run_converter(root: Path, copy: Path) -> None:
    if find_spec("lerobot") is None:
        raise MachineError(
            "reading a dataset of version v2.1 needs LeRobot",
            where=root,
            remedy="pip install 'outtakes[data]'",
        )
    own = {
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_CACHE": str(copy.parent / "datasets"),
        # It writes statistics in the order of a set; copies of one dataset must be the same.
        "PYTHONHASHSEED": "0",
    }
    finished = subprocess.run(
        [
            *(sys.executable, "-m", _CONVERTER, "--repo-id", f"local/{root.name or 'dataset'}"),
            *("--root", str(copy), "--push-to-hub", "false"),
        ],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | own,
    )
    if finished.returncode:
        said = finished.stderr.strip().splitlines() or ["nothing"]
        raise DatasetError(
            f"LeRobot cannot convert the dataset from v2.1 ({said[-1]})",
            where=root,
            remedy="restore what is missing, or export the dataset again as v3.0",
        )

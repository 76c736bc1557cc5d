"""Hashes: what identifies a dataset, and what a frame cache is named after."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from outtakes.data.demo import DemoSet
from outtakes.errors import DatasetError


def content_hash(files: Mapping[str, Path]) -> str:
    """Hash of these files' names, sizes and bytes: what is stored, however it is read.

    Args:
        files: relative path -> file.

    Raises:
        DatasetError: when a file is missing or unreadable.
    """
    digest = hashlib.blake2b(digest_size=16)
    for name, path in sorted(files.items()):
        content, size = _file_digest(path)
        digest.update(json.dumps([name, size, content]).encode())
    return digest.hexdigest()


def reading_hash(content: str, choices: Mapping[str, Any], labels: Sequence[Path]) -> str:
    """Hash of a content and of how it is read: equal hashes mean equal demonstrations.

    Args:
        content: `content_hash` of the dataset.
        choices: JSON-able settings that change what is read, such as the image size.
        labels: the label files that are looked at.

    Raises:
        DatasetError: when a label file is unreadable.
    """
    told = [(path.name, *_file_digest(path)) for path in labels]
    facts = json.dumps([content, dict(choices), told], sort_keys=True)
    return hashlib.blake2b(facts.encode(), digest_size=16).hexdigest()


def _file_digest(path: Path) -> tuple[str, int]:
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16))
            return digest.hexdigest(), file.tell()
    except OSError as error:
        raise DatasetError(
            f"cannot read a file of the dataset ({error.strerror})",
            where=path,
            remedy="restore it, or export the dataset again",
        ) from error


def hash_demos(demos: DemoSet) -> str:
    """Hash of all that demonstrations hold: every number and frame, outcomes, names and tasks."""
    facts = {
        "name": demos.name,
        "content_hash": demos.content_hash,
        "fps": demos.fps,
        "episodes": demos.episode_indices.tolist(),
        "successes": demos.successes.tolist(),
        "tasks": list(demos.tasks),
        "cameras": list(demos.images),
        "choices": dict(demos.choices),
        "provenance": asdict(demos.provenance),
    }
    digest = hashlib.blake2b(json.dumps(facts).encode(), digest_size=16)
    for demo in demos:
        for array in (demo.state, demo.environment_state, demo.action, *demo.images.values()):
            digest.update(json.dumps([array.dtype.str, array.shape]).encode())
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()

from __future__ import annotations

from pathlib import Path

import pytest

from outtakes.data.hashing import content_hash
from outtakes.errors import DatasetError


def test_the_hash_covers_names_bytes_and_request(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(b"ab")
    two.write_bytes(b"c")
    first = content_hash({"x": one, "y": two}, {"size": None})
    assert content_hash({"y": two, "x": one}, {"size": None}) == first
    others = [
        content_hash({"x": one, "y": two}, {"size": 64}),
        content_hash({"x": one, "z": two}, {"size": None}),
        content_hash({"x": two, "y": one}, {"size": None}),
        content_hash({"x": one}, {"size": None}),
    ]
    two.write_bytes(b"d")
    others.append(content_hash({"x": one, "y": two}, {"size": None}))
    assert len({first, *others}) == 6


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="gone"):
        content_hash({"gone": tmp_path / "gone"}, {})

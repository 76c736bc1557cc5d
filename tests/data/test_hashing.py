from __future__ import annotations

from pathlib import Path

import pytest

from outtakes.data.hashing import content_hash, reading_hash
from outtakes.errors import DatasetError


def test_the_hash_covers_names_and_bytes(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(b"ab")
    two.write_bytes(b"c")
    first = content_hash({"x": one, "y": two})
    assert content_hash({"y": two, "x": one}) == first
    others = [
        content_hash({"x": one, "z": two}),
        content_hash({"x": two, "y": one}),
        content_hash({"x": one}),
    ]
    two.write_bytes(b"d")
    others.append(content_hash({"x": one, "y": two}))
    assert len({first, *others}) == 5


def test_what_is_read_depends_on_the_choices_and_the_labels_too(tmp_path: Path) -> None:
    labels = tmp_path / "episode_labels.json"
    labels.write_text('{"0": "failure"}')
    first = reading_hash("content", {"image_size": None}, [])
    others = {
        reading_hash("other", {"image_size": None}, []),
        reading_hash("content", {"image_size": 64}, []),
        reading_hash("content", {"image_size": None}, [labels]),
    }
    labels.write_text('{"0": "success"}')
    assert len({first, *others, reading_hash("content", {"image_size": None}, [labels])}) == 5


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="gone"):
        content_hash({"gone": tmp_path / "gone"})

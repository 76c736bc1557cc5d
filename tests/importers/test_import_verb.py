"""`outtakes import` as a user calls it, and what comes after it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from outtakes.importers.manifest import FILE
from tests.commands import TINY, done, fingerprint, refused
from tests.importers.aloha_files import write_episode
from tests.importers.robomimic_files import opened


def test_an_imported_dataset_trains_and_triages(demos: Path, tmp_path: Path):
    root, out = tmp_path / "dataset", tmp_path / "out"
    called = done("import", demos, "--out", root)
    assert "6 demonstrations: 3 successes and 3 failures imported, 0 skipped" in called.out
    assert f"Dataset: {root}" in called.out
    before = fingerprint(root)
    done("train", root, *TINY, "--out", out)
    assert (out / "runs" / "act-pb" / "seed-0" / "checkpoint.safetensors").exists()
    done("triage", root, *TINY, "--count", "1", "--out", tmp_path / "triage")
    kept = json.loads((tmp_path / "triage" / "selection.json").read_text())["kept"]
    assert len(kept) == 4 and {0, 2, 4} < set(kept)
    assert fingerprint(root) == before


def test_json_is_one_object_and_accounts_for_every_demonstration(
    demos: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    with opened(demos) as file:
        del file["data/demo_3/actions"]
    root = tmp_path / "dataset"
    told = json.loads(done("import", demos, "--out", root, "--skip-bad", "--json").out)
    assert capfd.readouterr().out == ""  # libraries, too, are silent
    written = json.loads((root / FILE).read_text())
    assert {**told, "kind": "import", "version": 1} == {"dataset": str(root), **written}
    assert [entry["demo"] for entry in told["skipped"]] == ["demo_3"]
    assert "no array actions" in told["skipped"][0]["reason"]
    assert [entry["demo"] for entry in told["episodes"]] == [
        f"demo_{number}" for number in (0, 1, 2, 4, 5)
    ]


def test_every_mistake_is_one_line_and_leaves_the_disk_as_it_was(demos: Path, tmp_path: Path):
    write_episode(tmp_path / "aloha" / "episode_0.hdf5", 0, 5)
    (tmp_path / "text.hdf5").write_text("hello")
    before = fingerprint(tmp_path)
    for words, *arguments in (
        ("no such file", tmp_path / "nowhere.hdf5"),
        ("not an HDF5 file", tmp_path / "text.hdf5"),
        ("no outcome", tmp_path / "aloha"),
        ("unknown observation 'qvle': did you mean 'qvel'?", tmp_path / "aloha", "--state", "qvle"),
        ("unknown camera 'wrist'", demos, "--cameras", "wrist"),
        ("no attribute model_file", demos, "--render", "agentview"),
        ("--fps 0", demos, "--fps", "0"),
        ("--image-size 8", demos, "--image-size", "8"),
        ("no such label file", demos, "--labels", tmp_path / "labels.json"),
    ):
        assert words in refused("import", *arguments, "--out", tmp_path / "dataset")
    assert fingerprint(tmp_path) == before

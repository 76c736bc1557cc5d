"""`outtakes label`, and the flags by which every verb finds the labels."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.commands import TINY, done, fingerprint, refused


def labels_of(path: Path) -> dict[str, str]:
    return json.loads(path.read_text(encoding="utf-8"))


def test_labels_go_into_a_file_of_their_own(lift_dataset: Path) -> None:
    before = fingerprint(lift_dataset)
    called = done("label", lift_dataset, "--success", "1-2,5", "--failure", "0", "--show")
    after = fingerprint(lift_dataset)
    sidecar = lift_dataset / "episode_labels.json"
    assert set(after) - set(before) == {sidecar}
    assert {path: after[path] for path in before} == before
    assert labels_of(sidecar) == {"0": "failure", "1": "success", "2": "success", "5": "success"}
    assert "6 episodes: 4 successes, 2 failures, 0 without an outcome" in called.out
    assert "       3  failure  next.success" in called.out
    assert "       5  success  episode_labels.json" in called.out


def test_labels_are_added_to(lift_dataset: Path) -> None:
    done("label", lift_dataset, "--failure", "0-5")
    done("label", lift_dataset, "--success", "4")
    assert labels_of(lift_dataset / "episode_labels.json") == {
        **{str(e): "failure" for e in range(6)},
        "4": "success",
    }


def test_what_a_source_says_is_written_down(lift_dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "mine" / "labels.json"
    before = fingerprint(lift_dataset)
    done("label", lift_dataset, "--from", "next.success", "--failure", "0", "--out", out)
    assert fingerprint(lift_dataset) == before
    assert labels_of(out) == {str(e): "success" if e in (2, 4) else "failure" for e in range(6)}


def test_showing_changes_nothing(made_datasets: Path) -> None:
    before = fingerprint(made_datasets)
    called = done("label", made_datasets / "lift", "--show", "--json")
    assert fingerprint(made_datasets) == before
    outcomes = json.loads(called.out)["outcomes"]
    assert outcomes["1"] == {"outcome": "failure", "source": "next.success"}
    assert len(outcomes) == 6


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ((), "nothing to label"),
        (("--success", "0-2", "--failure", "2"), "episode 2 as success and as failure"),
        (("--success", "99"), "episode 99 is not in the dataset"),
        (("--success", "first"), "episodes 'first'"),
        (("--from", "next.succes"), "did you mean"),
        (("--success", "0", "--out", "labels.csv"), "name a .json file"),
    ],
)
def test_labels_that_cannot_be(flags: tuple[str, ...], words: str, lift_dataset: Path) -> None:
    before = fingerprint(lift_dataset)
    assert words in refused("label", lift_dataset, *flags)
    assert fingerprint(lift_dataset) == before


def test_every_verb_finds_labels_elsewhere(lift_dataset: Path, tmp_path: Path) -> None:
    """The labels turn successes and failures round; nothing but `--labels` tells of them."""
    out, labels = tmp_path / "out", tmp_path / "mine.json"
    done("label", lift_dataset, "--success", "1,3,5", "--failure", "0,2,4", "--out", labels)
    flags = (lift_dataset, *TINY, "--labels", labels, "--out", out, "--count", "1", "--json")
    kept = json.loads(done("triage", *flags).out)["kept"]
    assert set(kept) >= {1, 3, 5} and len(kept) == 4
    before = fingerprint(out / "media")
    done("report", out)
    assert fingerprint(out / "media").keys() == before.keys()
    run, scores = out / "runs" / "pb-kl-all" / "seed-0", tmp_path / "scores.json"
    line = refused("rank", run, "--recipe", "smoke", "--out", scores)
    assert "read otherwise: episode 0 a failure then, not now" in line and "labels" in line
    ranked = done("rank", run, "--recipe", "smoke", "--labels", labels, "--out", scores, "--json")
    assert sorted(json.loads(ranked.out)["ranked"]) == [0, 2, 4]


def test_one_source_may_be_named(lift_dataset: Path, tmp_path: Path) -> None:
    done("label", lift_dataset, "--failure", "0-5")
    line = refused("triage", lift_dataset, *TINY, "--out", tmp_path / "out")
    assert "no success to learn from" in line and "outtakes label" in line
    done(
        "train", lift_dataset, *TINY, "--outcome-from", "next.success", "--out", tmp_path / "out"
    )  # fmt: skip
    line = refused(
        "train", lift_dataset, *TINY, "--outcome-from", "next.succes", "--out", tmp_path / "out"
    )
    assert "unknown outcome source 'next.succes'" in line

import json
import os
import struct
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from outtakes.data.demo import Outcome
from outtakes.errors import CheckpointError, MachineError
from outtakes.policy.checkpoint import FILE, Checkpoint
from tests.demos import make_demos, small_act, train_small
from tests.disk import full_after


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> tuple[Path, Checkpoint]:
    run = tmp_path_factory.mktemp("run")
    return run, train_small(run, act=small_act(use_vae=True, dropout=0.1))


@pytest.fixture
def run(trained, tmp_path) -> Path:
    (tmp_path / FILE).write_bytes((trained[0] / FILE).read_bytes())
    return tmp_path


def test_everything_comes_back(trained):
    run, saved = trained
    loaded = Checkpoint.load(run)
    assert loaded.tensors.keys() == saved.tensors.keys()
    assert all(torch.equal(loaded.tensors[name], t) for name, t in saved.tensors.items())
    assert replace(loaded, tensors={}) == replace(saved, tensors={})


def test_it_says_what_it_was_trained_on(trained):
    demos, loaded = make_demos(), Checkpoint.load(trained[0])
    assert loaded.episodes == tuple(demos.episode_indices)
    assert loaded.successes == tuple(demos.successes)
    assert (loaded.content_hash, loaded.step, loaded.seed) == (demos.content_hash, 4, 0)
    bank = loaded.bank()
    assert bank is not None
    assert bank.episodes.tolist() == demos.episodes(Outcome.SUCCESS)


def test_the_file_itself_can_be_given(trained):
    assert Checkpoint.load(trained[0] / FILE).step == 4


def test_the_file_is_plain_safetensors_with_a_json_header(run):
    content = (run / FILE).read_bytes()
    (size,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + size])
    assert json.loads(header.pop("__metadata__")["outtakes"])["version"] == 1
    spans = sorted(entry["data_offsets"] for entry in header.values())
    assert spans[0][0] == 0
    assert all(end == start for (_, end), (start, _) in pairwise(spans))
    assert 8 + size + spans[-1][1] == len(content)
    owners = {name.split(".")[0] for name in header}
    assert owners == {"policy", "adamw", "rows", "normalizer", "bank"}


def test_a_policy_without_bias_has_neither_rows_nor_bank(tmp_path):
    checkpoint = train_small(tmp_path, act=small_act(condition="none"), steps=1)
    assert checkpoint.bank() is None
    assert not checkpoint.owned("rows")


def damage_version(path: Path) -> None:
    save_file({"a": torch.zeros(1)}, path, {"outtakes": json.dumps({"version": 99})})


def damage_header(path: Path) -> None:
    save_file({"a": torch.zeros(1)}, path, {"outtakes": "{not json"})


def damage_meaning(path: Path) -> None:
    save_file({"a": torch.zeros(1)}, path, {"outtakes": json.dumps({"version": 1, "step": "x"})})


def leave_out_header(path: Path) -> None:
    save_file({"a": torch.zeros(1)}, path)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (damage_version, "checkpoint of version 99, this Outtakes reads 1"),
        (leave_out_header, "checkpoint of version None"),
        (damage_header, "cannot read the checkpoint"),
        (damage_meaning, "cannot read the checkpoint"),
        (lambda path: path.write_bytes(path.read_bytes()[:-100]), "cannot read the checkpoint"),
        (lambda path: path.write_bytes(path.read_bytes()[:100]), "cannot read the checkpoint"),
        (lambda path: path.write_bytes(b""), "cannot read the checkpoint"),
        (lambda path: path.write_bytes(b"garbage" * 1000), "cannot read the checkpoint"),
        (lambda path: path.unlink(), "no checkpoint"),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_line(run, damage, reason):
    damage(run / FILE)
    with pytest.raises(CheckpointError, match=reason) as error:
        Checkpoint.load(run)
    assert error.value.where == run / FILE
    assert "\n" not in str(error.value)


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="no checkpoint"):
        Checkpoint.load(tmp_path / "nowhere")


def test_a_full_disk_keeps_the_previous_checkpoint(run):
    before = (run / FILE).read_bytes()
    later = replace(Checkpoint.load(run), step=5)
    with full_after(len(before) // 2), pytest.raises(MachineError, match="no space left"):
        later.save(run)
    assert (run / FILE).read_bytes() == before
    assert os.listdir(run) == [FILE]


def test_a_run_folder_that_cannot_be_written_is_named(run):
    with pytest.raises(MachineError, match="cannot write"):
        Checkpoint.load(run).save(run / FILE)
    assert Checkpoint.load(run).step == 4

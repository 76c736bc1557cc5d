import json
import os
import struct
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from outtakes.data.demo import Outcome
from outtakes.errors import CheckpointError, MachineError
from outtakes.policy.act.act import ActConfig
from outtakes.policy.checkpoint import FILE, Checkpoint
from tests.demos import make_demos, small_act, train_small
from tests.disk import full_after


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> tuple[Path, Checkpoint]:
    run = tmp_path_factory.mktemp("run")
    return run, train_small(run, policy=small_act(use_vae=True, dropout=0.1))


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
    assert loaded.owned("memory")["episodes"].tolist() == demos.episodes(Outcome.SUCCESS)


def test_the_file_itself_can_be_given(trained):
    assert Checkpoint.load(trained[0] / FILE).step == 4


def test_the_file_is_plain_safetensors_with_a_json_header(run):
    content = (run / FILE).read_bytes()
    (size,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + size])
    assert json.loads(header.pop("__metadata__")["outtakes"])["version"] == 2
    spans = sorted(entry["data_offsets"] for entry in header.values())
    assert spans[0][0] == 0
    assert all(end == start for (_, end), (start, _) in pairwise(spans))
    assert 8 + size + spans[-1][1] == len(content)
    owners = {name.split(".")[0] for name in header}
    assert owners == {"policy", "adamw", "rows", "normalizer", "memory"}


def test_a_policy_without_bias_has_neither_rows_nor_memory(tmp_path):
    checkpoint = train_small(tmp_path, policy=small_act(condition="none"), steps=1)
    assert not checkpoint.owned("memory") and not checkpoint.owned("rows")


def write_version_1(run: Path, checkpoint: Checkpoint) -> None:
    """What was written of a run of ACT when nothing else could be trained."""
    act, training = checkpoint.config, dict(checkpoint.training)
    assert isinstance(act, ActConfig)
    shape = {**vars(act), "backbone_weights": None}
    loss = vars(shape.pop("loss"))
    for name in ("pb_learning_rate", "backbone_scale"):
        training[name] = shape.pop(name)
    meta = {
        "version": 1,
        "step": checkpoint.step,
        "seed": checkpoint.seed,
        "act": shape,
        "sizes": vars(checkpoint.sizes),
        "dataset": checkpoint.dataset,
        "content_hash": checkpoint.content_hash,
        "episodes": checkpoint.episodes,
        "successes": checkpoint.successes,
        "settings": {"loss": loss, "train": training, "retrieval_camera": ""},
        "commit": checkpoint.commit,
    }
    tensors = {
        name.replace("rows.bias.table.", "rows.").replace("memory.", "bank."): tensor
        for name, tensor in checkpoint.tensors.items()
    }
    save_file(tensors, run / FILE, {"outtakes": json.dumps(meta)})


def test_a_file_of_version_1_acts_the_same_and_goes_on_bit_for_bit(tmp_path):
    settings = {"policy": small_act(use_vae=True), "steps": 2}
    first = train_small(tmp_path / "new", **settings)
    (tmp_path / "old").mkdir()
    write_version_1(tmp_path / "old", first)
    old, demos = Checkpoint.load(tmp_path / "old"), make_demos()
    assert replace(old, tensors={}) == replace(first, tensors={})
    raw = {
        "observation.state": demos.state[:3],
        "observation.environment_state": demos.environment_state[:3],
    }
    actions = [c.agent().predict(raw, c.agent().begin(raw)) for c in (old, first)]
    assert np.array_equal(actions[0], actions[1])
    settings["steps"] = 4
    resumed, unbroken = (train_small(tmp_path / run, **settings) for run in ("old", "new"))
    assert resumed.tensors.keys() == unbroken.tensors.keys()
    assert all(torch.equal(t, unbroken.tensors[n]) for n, t in resumed.tensors.items())


def write_meta(path: Path, meta: object) -> None:
    save_file({"a": torch.zeros(1)}, path, {"outtakes": json.dumps(meta)})


def damage_version(path: Path) -> None:
    write_meta(path, {"version": 99})


def damage_header(path: Path) -> None:
    save_file({"a": torch.zeros(1)}, path, {"outtakes": "{not json"})


def damage_meaning(path: Path) -> None:
    write_meta(path, {"version": 2, "step": "x"})


def damage_old_meaning(path: Path) -> None:
    write_meta(path, {"version": 1, "act": None, "settings": {"train": {}}})


def damage_shape(path: Path) -> None:
    write_meta(path, [])


def damage_policy(path: Path) -> None:
    checkpoint = Checkpoint.load(path)
    replace(checkpoint, config=replace(checkpoint.config, chunk=1)).save(path.parent)
    content = path.read_bytes()
    path.write_bytes(content.replace(b'\\"chunk\\": 1,', b'\\"chunk\\": 0,'))


def damage_kind(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b'\\"kind\\": \\"act', b'\\"kind\\": \\"cat'))


def leave_out_header(path: Path) -> None:
    save_file({"a": torch.zeros(1)}, path)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (damage_version, "checkpoint of version 99, this Outtakes reads 2"),
        (leave_out_header, "checkpoint of version None"),
        (damage_header, "cannot read the checkpoint"),
        (damage_meaning, "cannot read the checkpoint"),
        (damage_old_meaning, "cannot read the checkpoint"),
        (damage_shape, "checkpoint of version None"),
        (damage_policy, r"cannot read the checkpoint \(chunk 0"),
        (damage_kind, r"not installed \(unknown policy 'cat'.*install the package"),
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

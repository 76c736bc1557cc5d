"""Runs as LeRobot's policies and back: the same actions from the same observations."""

from __future__ import annotations

import json
import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lerobot.configs import PreTrainedConfig
from lerobot.envs import preprocess_observation
from lerobot.policies import make_pre_post_processors
from safetensors.torch import load_file, save_file

from lerobot_policy_outtakes.modeling_outtakes_act import OuttakesActPolicy
from lerobot_policy_outtakes.policy_to_run import to_run
from lerobot_policy_outtakes.processor_outtakes_act import make_outtakes_act_pre_post_processors
from lerobot_policy_outtakes.run_to_policy import to_pretrained
from outtakes.cli.converting import PLUGIN
from outtakes.data.demo import DemoSet
from outtakes.errors import CheckpointError, ConfigError, DatasetError
from outtakes.evaluation.controller import ControllerConfig
from outtakes.policy.checkpoint import Checkpoint
from outtakes.policy.eyes.frozen import FrozenEyes
from tests.commands import done, refused
from tests.demos import make_demos, small_act, train_small, two_tasks
from tests.plugin.policies import make_trainee, trained

CONTROLLER = ControllerConfig(replan=3)
EYES = FrozenEyes(cameras=("overhead",), weights="random-0", layer=0, components=4, image_size=64)
SHAPES = [
    {"condition": "pb", "cameras": ("overhead",)},
    {"condition": "pb", "eyes": EYES},
    {"condition": "none", "eyes": replace(EYES, form="tokens", layer=3)},
    {"condition": "pb", "use_vae": True},
    {"condition": "label"},
    {"condition": "none"},
]


def make_run(folder: Path, **shape: Any) -> tuple[DemoSet, Checkpoint]:
    """A run of a few steps, one dimension of whose state hardly moves."""
    demos = make_demos(camera=bool(shape.get("cameras") or shape.get("eyes")))
    demos.state[:, 1] = 0.3
    return demos, train_small(folder, demos, policy=small_act(**shape))


def observations(demos: DemoSet) -> dict[str, np.ndarray]:
    """The first observation of every demonstration, as our agents take them."""
    rows = demos.starts
    images = {
        f"observation.images.{c}": np.array(frames[rows]) for c, frames in demos.images.items()
    }
    state = {"observation.state": demos.state[rows]}
    return {**state, "observation.environment_state": demos.environment_state[rows], **images}


def ours(run: Path, demos: DemoSet) -> np.ndarray:
    """(B, L, A) actions of a run."""
    agent, raw = Checkpoint.load(run).agent(), observations(demos)
    return agent.predict(raw, agent.begin(raw))


def theirs(folder: Path, demos: DemoSet) -> np.ndarray:
    """(B, L, A) actions of a pretrained_model folder, as lerobot-eval gets them."""
    config = PreTrainedConfig.from_pretrained(folder, cli_overrides=["--device=cpu"])
    policy = OuttakesActPolicy.from_pretrained(folder, config=config, strict=True)
    before, after = make_pre_post_processors(
        config, str(folder), preprocessor_overrides={"device_processor": {"device": "cpu"}}
    )
    raw = observations(demos)
    observed: dict[str, Any] = {
        "agent_pos": raw["observation.state"],
        "environment_state": raw["observation.environment_state"],
        "pixels": {camera: raw[f"observation.images.{camera}"] for camera in demos.images},
    }
    batch = preprocess_observation(observed)
    chunk = policy.predict_action_chunk(before(batch))
    return torch.stack([after(step) for step in chunk.unbind(1)], 1).numpy()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_actions_are_equal_both_ways(tmp_path: Path, shape: dict[str, Any]):
    demos, _ = make_run(tmp_path / "run", **shape)
    expected = ours(tmp_path / "run", demos)
    to_pretrained(tmp_path / "run", tmp_path / "policy", controller=CONTROLLER, image_size=64)
    np.testing.assert_allclose(theirs(tmp_path / "policy", demos), expected, atol=1e-6)
    to_run(tmp_path / "policy", tmp_path / "back")
    np.testing.assert_allclose(ours(tmp_path / "back", demos), expected, atol=1e-6)


def test_what_comes_back_is_what_went(tmp_path: Path):
    _, checkpoint = make_run(tmp_path / "run", cameras=("overhead",))
    to_pretrained(tmp_path / "run", tmp_path / "policy", controller=CONTROLLER, image_size=64)
    to_run(tmp_path / "policy", tmp_path / "back")
    back = Checkpoint.load(tmp_path / "back")
    assert (back.config, back.sizes) == (checkpoint.config, checkpoint.sizes)
    assert (back.episodes, back.successes) == (checkpoint.episodes, checkpoint.successes)
    for name, tensor in back.tensors.items():
        assert torch.equal(tensor, checkpoint.tensors[name]), name
    assert {name.split(".")[0] for name in back.tensors} == {"policy", "normalizer", "memory"}


def test_the_folder_holds_the_documented_files_and_tensors(policy: Path):
    page = (Path(__file__).parents[2] / "docs/formats.md").read_text(encoding="utf-8")
    section = page.split("## `pretrained_model`")[1].split("\n## ")[0]
    rows = re.findall(r"^\|((?: `[^`]+`,?)+) \|", section, re.MULTILINE)
    told = {name for row in rows for name in re.findall(r"`([^`]+)`", row)}
    files = {path.name for path in policy.iterdir() if "_step_" not in path.name}
    tensors = load_file(policy / "model.safetensors")
    found = {"model.<parameter>" if name.startswith("model.") else name for name in tensors}
    of_frozen_eyes = {name for name in told if name.startswith("eyes.")}
    assert files | found | {"train_config.json"} == told - of_frozen_eyes


def test_only_demonstrations_that_were_trained_on_go_into_the_run(
    made_datasets: Path, tmp_path: Path
):
    root = made_datasets / "lift"
    policy = trained(make_trainee(root, "observation.state"), root, (12, 27))
    save(policy, tmp_path / "policy")
    to_run(tmp_path / "policy", tmp_path / "run")
    checkpoint = Checkpoint.load(tmp_path / "run")
    assert checkpoint.episodes == (1, 2) and checkpoint.successes == (False, True)
    table = policy.state_dict()["model.bias.table"]
    assert torch.equal(checkpoint.tensors["policy.bias.table"], table[[1, 2]])
    assert checkpoint.tensors["memory.episodes"].tolist() == [2]


def save(policy: OuttakesActPolicy, folder: Path) -> None:
    """A policy in training with its processors, as lerobot-train saves them."""
    assert policy.demos is not None
    processors = make_outtakes_act_pre_post_processors(policy.config, policy.demos.meta.stats)
    for part in (policy, *processors):
        part.save_pretrained(folder)


def test_the_controller_of_the_recipe_goes_along(tmp_path: Path):
    make_run(tmp_path / "run")
    ensembled = ControllerConfig(ensemble=0.01, steering="mean")
    to_pretrained(tmp_path / "run", tmp_path / "policy", controller=ensembled, image_size=64)
    config = json.loads((tmp_path / "policy/config.json").read_text())
    assert config["temporal_ensemble_coeff"] == 0.01 and config["n_action_steps"] == 1
    assert config["steering"] == "mean"
    done("convert", tmp_path / "run", "--recipe", "smoke", "--out", tmp_path / "quick")
    config = json.loads((tmp_path / "quick/config.json").read_text())
    assert config["n_action_steps"] == 5 and config["steering"] == "mean"


def test_the_verb_knows_which_way_to_go(tmp_path: Path):
    make_run(tmp_path / "run")
    there = done("convert", tmp_path / "run", "--out", tmp_path / "policy", "--json")
    assert json.loads(there.out)["pretrained_model"] == str(tmp_path / "policy")
    back = done("convert", tmp_path / "policy", "--out", tmp_path / "back", "--json")
    assert json.loads(back.out)["run"] == str(tmp_path / "back")
    assert Checkpoint.load(tmp_path / "back").owned("memory")


def test_what_cannot_be_converted_is_refused_in_one_line(tmp_path: Path):
    make_run(tmp_path / "run")
    assert "neither a run nor" in refused("convert", tmp_path, "--out", tmp_path / "x")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").touch()
    line = refused("convert", tmp_path / "run", "--out", tmp_path / "taken")
    assert "something there already" in line
    assert not (tmp_path / "x").exists()


def test_without_the_plugin_the_verb_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for name in [name for name in sys.modules if name.split(".")[0] == PLUGIN]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, PLUGIN, None)
    line = refused("convert", tmp_path, "--out", tmp_path / "x")
    assert f"pip install {PLUGIN}" in line


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    """A run converted, free to be broken."""
    make_run(tmp_path / "run")
    return to_pretrained(
        tmp_path / "run", tmp_path / "policy", controller=CONTROLLER, image_size=64
    )


def test_a_damaged_policy_is_refused_in_one_line(policy: Path, tmp_path: Path):
    for name in ("config.json", "model.safetensors", "policy_preprocessor.json"):
        broken = Path(shutil.copytree(policy, tmp_path / name.split(".")[0]))
        (broken / name).write_text("{")
        with pytest.raises(CheckpointError, match="cannot read the policy") as refusal:
            to_run(broken, tmp_path / "x")
        assert "\n" not in str(refusal.value)
    assert not (tmp_path / "x").exists()


def test_another_policy_is_refused(policy: Path, tmp_path: Path):
    change(policy / "config.json", lambda config: config.update(type="act"))
    with pytest.raises(CheckpointError, match="a policy of type act"):
        to_run(policy, tmp_path / "x")


def test_another_normalisation_is_refused(policy: Path, tmp_path: Path):
    def by_extremes(pipeline: dict[str, Any]) -> None:
        pipeline["steps"][3]["config"]["norm_map"]["STATE"] = "MIN_MAX"

    change(policy / "policy_preprocessor.json", by_extremes)
    with pytest.raises(ConfigError, match="MIN_MAX"):
        to_run(policy, tmp_path / "x")


def test_nothing_outside_the_folder_is_read(policy: Path, tmp_path: Path):
    name = "policy_preprocessor_step_3_normalizer_processor.safetensors"
    outside = tmp_path / "outside.safetensors"
    tensors = load_file(policy / name)
    save_file({n: t + 1 for n, t in tensors.items()}, outside)

    def lead_out(pipeline: dict[str, Any]) -> None:
        pipeline["steps"][3]["state_file"] = "../outside.safetensors"

    change(policy / "policy_preprocessor.json", lead_out)
    with pytest.raises(CheckpointError):
        to_run(policy, tmp_path / "x")


def test_a_taken_folder_is_left_alone(policy: Path):
    with pytest.raises(DatasetError):
        to_run(policy, policy)


def change(path: Path, edit) -> None:
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


def test_a_policy_that_is_told_tasks_apart_is_not_converted(tmp_path: Path):
    train_small(tmp_path / "run", two_tasks(), steps=1)
    with pytest.raises(CheckpointError, match=r"told 2 tasks apart.*--one-task"):
        to_pretrained(
            tmp_path / "run", tmp_path / "policy", controller=ControllerConfig(), image_size=64
        )
    assert not (tmp_path / "policy").exists()

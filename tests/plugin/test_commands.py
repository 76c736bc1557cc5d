"""LeRobot's own commands, unmodified, with the plugins installed: as a user calls them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.commands import done
from tests.plugin.forks import call
from tests.plugin.simulated_arm.simulated_arm import ACTION

STATE, IMAGE = "observation.state", "observation.images.overhead"
OBSERVED = {
    STATE: {"type": "STATE", "shape": [14]},
    IMAGE: {"type": "VISUAL", "shape": [3, 64, 64]},
}
TINY = (
    "--policy.device=cpu",
    "--policy.push_to_hub=false",
    "--policy.chunk_size=6",
    "--policy.n_action_steps=3",
    "--policy.dim_model=16",
    "--policy.n_heads=2",
    "--policy.dim_feedforward=24",
    "--policy.n_encoder_layers=1",
    "--policy.n_decoder_layers=2",
    # Nothing random is left in a step: LeRobot's resuming shifts its random numbers.
    "--policy.dropout=0",
    "--policy.use_vae=false",
)


@pytest.fixture(scope="module", autouse=True)
def offline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """LeRobot finds nothing of the user's, and no hub."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_LEROBOT_HOME", str(tmp_path_factory.mktemp("lerobot")))
        patch.setenv("HF_HUB_OFFLINE", "1")
        yield


def lerobot(command: str, *arguments: object, home: Path) -> None:
    """Call a command of LeRobot's, which must succeed."""
    status, logged = call(command, [*map(str, arguments)], home=home)
    assert status == 0, logged[-3000:]


@pytest.fixture(scope="module")
def trained(lift: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What lerobot-train leaves after four steps on a real dataset, with a checkpoint halfway."""
    out = tmp_path_factory.mktemp("trained") / "run"
    lerobot(
        "train",
        "--policy.type=outtakes_act",
        *TINY,
        f"--policy.input_features={json.dumps(OBSERVED)}",
        "--dataset.repo_id=local/lift",
        f"--dataset.root={lift}",
        "--steps=4",
        "--save_freq=2",
        "--log_freq=1",
        "--batch_size=4",
        "--num_workers=0",
        f"--output_dir={out}",
        home=out.parent,
    )
    return out / "checkpoints"


def test_lerobot_train_learns_pb_with_the_kl_term_and_fills_the_bank(trained: Path):
    tensors = load_file(trained / "last/pretrained_model/model.safetensors")
    assert tensors["rows.episodes"].tolist() == [0, 1]
    assert tensors["rows.successes"].tolist() == [True, False]
    assert tensors["rows.seen"].all()
    assert tensors["model.bias.table"].flatten(1).any(dim=1).all()
    assert tensors["bank.rows"].tolist() == [0]
    assert tensors["bank.embeddings"].shape == (1, 512)
    groups = json.loads((trained / "last/training_state/optimizer_param_groups.json").read_text())
    assert [group.get("rows", False) for group in groups] == [False, False, True]


def test_a_run_that_is_resumed_ends_where_an_unbroken_one_does(trained: Path, tmp_path: Path):
    shutil.copytree(trained / "000002", tmp_path / "checkpoints/000002")
    lerobot(
        "train",
        f"--config_path={tmp_path}/checkpoints/000002/pretrained_model/train_config.json",
        "--resume=true",
        f"--output_dir={tmp_path}",
        home=tmp_path,
    )
    for name in ("pretrained_model/model", "training_state/optimizer_state"):
        expected = load_file(trained / f"000004/{name}.safetensors")
        found = load_file(tmp_path / f"checkpoints/000004/{name}.safetensors")
        assert found.keys() == expected.keys()
        for key, tensor in expected.items():
            assert torch.equal(found[key], tensor), key


def test_lerobot_eval_rolls_the_checkpoint_out_in_the_simulated_task(trained: Path, tmp_path: Path):
    lerobot(
        "eval",
        f"--policy.path={trained}/last/pretrained_model",
        "--policy.device=cpu",
        "--env.type=outtakes",
        "--env.task=lift",
        "--env.cameras=[overhead]",
        "--env.image_size=64",
        "--env.video_size=64",
        "--env.episode_length=5",
        "--eval.n_episodes=2",
        "--eval.batch_size=2",
        "--eval.use_async_envs=false",
        "--seed=0",
        "--output_dir=evaluated",
        home=tmp_path,
    )
    found = json.loads((tmp_path / "evaluated/eval_info.json").read_text())
    assert found["overall"]["n_episodes"] == 2 and found["overall"]["pc_success"] == 0
    assert len(list((tmp_path / "evaluated").rglob("*.mp4"))) == 2


def test_lerobot_rollout_drives_a_robot_by_what_it_sees(trained: Path, tmp_path: Path):
    lerobot(
        "rollout",
        f"--policy.path={trained}/last/pretrained_model",
        "--policy.device=cpu",
        "--robot.discover_packages_path=tests.plugin.simulated_arm",
        "--robot.type=simulated_arm",
        f"--robot.log={tmp_path}/arm.npz",
        "--fps=20",
        "--duration=2",
        "--return_to_initial_position=false",
        "--task=lift the red cube",
        "--play_sounds=false",
        home=tmp_path,
    )
    seen = np.load(tmp_path / "arm.npz")
    done("convert", trained / "last/pretrained_model", "--out", tmp_path / "run")
    expected = first_chunk(tmp_path / "run", seen["state"], seen["image"])
    # The first chunk is followed for three steps; a busy machine may not get as far in time.
    told = seen["actions"][:3]
    assert len(told) and told.shape[1] == len(ACTION)
    np.testing.assert_allclose(told, expected[: len(told)], atol=1e-5)


def first_chunk(run: Path, state: np.ndarray, image: np.ndarray) -> np.ndarray:
    """(L, A) actions of Outtakes' own agent from one observation."""
    from outtakes.policy.checkpoint import Checkpoint

    agent = Checkpoint.load(run).agent()
    empty = np.zeros((1, 0), dtype=np.float32)
    raw = {STATE: state[None], "observation.environment_state": empty, IMAGE: image[None]}
    return agent.predict(raw, agent.begin(raw))[0]

"""LeRobot's `pretrained_model` folders as runs of Outtakes, acting the same."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from draccus.utils import DraccusException
from lerobot.configs import PreTrainedConfig
from lerobot.utils.constants import (
    ACTION,
    OBS_ENV_STATE,
    OBS_STATE,
    POLICY_POSTPROCESSOR_DEFAULT_NAME,
    POLICY_PREPROCESSOR_DEFAULT_NAME,
)
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from lerobot_policy_outtakes.configuration_outtakes_act import OuttakesActConfig
from lerobot_policy_outtakes.modeling_outtakes_act import OuttakesActPolicy
from outtakes import version
from outtakes.data.lerobot.write import check_free
from outtakes.data.normalize import Moments, Normalizer
from outtakes.errors import CheckpointError, ConfigError
from outtakes.policy.checkpoint import Checkpoint
from outtakes.training.config import TrainConfig


def to_run(pretrained: Path, out: Path) -> Path:
    """Write a `pretrained_model` folder as a run, to be evaluated by Outtakes.

    Only the demonstrations that were trained on become rows of its PB table. Nothing is executed
    of what the folder holds.

    Args:
        pretrained: folder with `config.json`, `model.safetensors` and the processors.
        out: run folder to make; must not exist or be empty.

    Returns:
        `out`.

    Raises:
        CheckpointError: when there is no such policy, or it is damaged.
        ConfigError: when its vectors are not standardised by mean and deviation.
        DatasetError: when `out` is taken.
    """
    check_free(out)
    with _reading(pretrained):
        policy = _load_policy(pretrained)
        normalizer = _read_normalizer(pretrained)
        if policy.eyes is not None:
            normalizer = replace(normalizer, environment_state=policy.eyes.moments)
        facts = _read_json(pretrained / "train_config.json")
        progress = _read_json(pretrained.parent / "training_state/training_step.json")
        step = int(progress.get("step", 0))
    config, seen = policy.config, policy.rows.seen.nonzero()[:, 0]
    dataset = facts.get("dataset") or {}
    checkpoint = Checkpoint(
        step=step,
        seed=int(facts.get("seed") or 0),
        config=config.act_config(),
        sizes=replace(config.sizes(), demos=len(seen)),
        dataset=str(dataset.get("root") or dataset.get("repo_id") or pretrained),
        content_hash="",
        choices={},
        episodes=tuple(policy.rows.episodes[seen].tolist()),
        successes=tuple(policy.rows.successes[seen].tolist()),
        training=asdict(_train_config(config, step, int(facts.get("batch_size") or 1))),
        commit=version.commit(),
        tensors=_tensors(policy, normalizer, seen),
    )
    out.mkdir(parents=True, exist_ok=True)
    checkpoint.save(out)
    return out


@contextmanager
def _reading(folder: Path) -> Iterator[None]:
    """Turn what a damaged folder causes into one line."""
    try:
        yield
    except _DAMAGE as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(
            f"cannot read the policy ({reason})",
            where=folder,
            remedy="give a pretrained_model folder of an outtakes_act policy",
        ) from error


_DAMAGE = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    RuntimeError,
    SafetensorError,
    DraccusException,
)
"""What LeRobot, torch and safetensors raise on files that are not what they should be."""


def _load_policy(folder: Path) -> OuttakesActPolicy:
    kind = _read_json(folder / "config.json").get("type")
    if kind != "outtakes_act":
        raise CheckpointError(
            f"a policy of type {kind}" if kind else "neither a run nor a policy of LeRobot",
            where=folder,
            remedy="give a run folder, or a pretrained_model folder of an outtakes_act policy",
        )
    config = PreTrainedConfig.from_pretrained(folder, cli_overrides=["--device=cpu"])
    with redirect_stdout(sys.stderr):  # LeRobot prints what it does
        return OuttakesActPolicy.from_pretrained(folder, config=config, strict=True)


def _read_json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _read_normalizer(folder: Path) -> Normalizer:
    """What LeRobot's processors subtract and divide by.

    Read from their files: LeRobot itself would import whatever classes those name.
    """
    before = _read_step(folder, POLICY_PREPROCESSOR_DEFAULT_NAME, "normalizer_processor")
    after = _read_step(folder, POLICY_POSTPROCESSOR_DEFAULT_NAME, "unnormalizer_processor")
    epsilon = float(before[0]["eps"])
    return Normalizer(
        state=_moments(*before, OBS_STATE, epsilon),
        environment_state=_moments(*before, OBS_ENV_STATE, epsilon),
        action=_moments(*after, ACTION, 0.0),
    )


def _read_step(folder: Path, pipeline: str, name: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Settings and tensors of one step of a pipeline."""
    steps = _read_json(folder / f"{pipeline}.json")["steps"]
    step = {step.get("registry_name"): step for step in steps}[name]
    return step["config"], load_file(folder / Path(step["state_file"]).name)


def _moments(
    settings: Mapping[str, Any], tensors: Mapping[str, Tensor], name: str, epsilon: float
) -> Moments:
    feature = settings["features"].get(name)
    if feature is None:
        return Moments(torch.zeros(0), torch.zeros(0))
    mode = settings["norm_map"].get(feature["type"])
    if mode != "MEAN_STD":
        raise ConfigError(
            f"{name} is normalised by {mode}", remedy="convert policies trained with MEAN_STD"
        )
    return Moments(tensors[f"{name}.mean"], tensors[f"{name}.std"] + epsilon)


def _train_config(config: OuttakesActConfig, steps: int, batch_size: int) -> TrainConfig:
    """How it was trained, as far as our trainer has words for it."""
    return TrainConfig(
        steps=max(steps, 1),
        batch_size=batch_size,
        learning_rate=config.optimizer_lr,
        weight_decay=config.optimizer_weight_decay,
        warmup=config.scheduler_warmup_steps,
        schedule=config.scheduler,
    )


def _tensors(policy: OuttakesActPolicy, normalizer: Normalizer, seen: Tensor) -> dict[str, Tensor]:
    tensors = {f"policy.{name}": tensor for name, tensor in policy.model.state_dict().items()}
    tensors |= {f"normalizer.{name}": tensor for name, tensor in normalizer.tensors().items()}
    if policy.eyes is not None:
        sight = policy.eyes.sight.tensors()
        tensors |= {f"eyes.{name}": tensor for name, tensor in sight.items()}
    if policy.model.bias is not None:
        bank = policy.success_bank()
        tensors["policy.bias.table"] = policy.model.bias.table.detach()[seen]
        kept = {name: tensor for name, tensor in vars(bank).items() if tensor is not None}
        tensors |= {f"memory.{name}": tensor for name, tensor in kept.items()}
    return tensors

"""Runs of Outtakes as LeRobot's `pretrained_model` folders, and back, acting the same."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from draccus.utils import DraccusException
from lerobot.configs import FeatureType, PolicyFeature, PreTrainedConfig
from lerobot.processor import make_default_pre_post_processors
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
from outtakes.data.layout import CAMERA_PREFIX
from outtakes.data.lerobot import check_free
from outtakes.data.normalize import Moments, Normalizer
from outtakes.errors import CheckpointError, ConfigError
from outtakes.evaluation.controller import ControllerConfig
from outtakes.policy.act import ActConfig
from outtakes.training.checkpoint import FILE, Checkpoint
from outtakes.training.config import TrainConfig

_VECTORS = {"state": OBS_STATE, "environment_state": OBS_ENV_STATE, "action": ACTION}
"""Our name of a feature -> LeRobot's."""
_EPSILON = 1e-8
"""What LeRobot adds to the deviation it divides by; it multiplies by the deviation as it is."""


def is_run(folder: Path) -> bool:
    """Whether a folder holds a run of Outtakes."""
    return (folder / FILE).is_file()


def to_pretrained(run: Path, out: Path, *, controller: ControllerConfig, image_size: int) -> Path:
    """Write a run as a `pretrained_model` folder.

    Args:
        run: folder of the run.
        out: folder to make; must not exist or be empty.
        controller: how chunks become actions.
        image_size: pixels on a side of the images the policy was trained on.

    Returns:
        `out`.

    Raises:
        CheckpointError: when there is no run.
        DatasetError: when `out` is taken.
    """
    checkpoint = Checkpoint.load(run)
    check_free(out)
    config = _config(checkpoint, controller, image_size)
    policy = OuttakesActPolicy(config)
    policy.model.load_state_dict(checkpoint.owned("policy"))
    episodes = np.array(checkpoint.episodes, dtype=np.int64)
    if config.n_demos:
        policy.rows.assign(episodes, np.array(checkpoint.successes))
        policy.rows.see(torch.arange(config.n_demos))
    if (bank := checkpoint.bank()) is not None:
        policy.bank.fill(policy.rows.find(bank.episodes), bank.embeddings)
    normalizer = checkpoint.normalizer()
    before, _ = make_default_pre_post_processors(config, _stats(normalizer, less=_EPSILON))
    _, after = make_default_pre_post_processors(config, _stats(normalizer, less=0.0))
    # LeRobot then chooses the best device of the machine it loads the policy on.
    config.device = None
    for part in (policy, before, after):
        part.save_pretrained(out)
    return out


def _config(
    checkpoint: Checkpoint, controller: ControllerConfig, image_size: int
) -> OuttakesActConfig:
    act, sizes, settings = checkpoint.act, checkpoint.sizes, checkpoint.settings
    loss, train = settings["loss"], settings["train"]
    rate, bank = train["learning_rate"], checkpoint.bank()
    ensemble = controller.ensemble
    return OuttakesActConfig(
        device="cpu",
        push_to_hub=False,
        input_features=_inputs(act, sizes.state, sizes.environment_state, image_size),
        output_features={ACTION: PolicyFeature(FeatureType.ACTION, (sizes.action,))},
        chunk_size=act.chunk,
        n_action_steps=1 if ensemble is not None else min(controller.replan, act.chunk),
        temporal_ensemble_coeff=ensemble,
        neighbours=controller.neighbours,
        condition=act.condition,
        dim_model=act.width,
        n_heads=act.heads,
        dim_feedforward=act.feed_forward,
        n_encoder_layers=act.encoder_layers,
        n_decoder_layers=act.decoder_layers,
        dropout=act.dropout,
        use_vae=act.use_vae,
        latent_dim=act.latent,
        pb_size=act.pb_size,
        alpha_pb=act.alpha_pb,
        vae_weight=loss["vae_weight"],
        divergence_weight=loss["kl_weight"],
        divergence_cap=loss["kl_cap"],
        optimizer_lr=rate,
        optimizer_lr_backbone=rate * train["backbone_scale"],
        optimizer_lr_pb=train["pb_learning_rate"],
        optimizer_weight_decay=train["weight_decay"],
        scheduler=train["schedule"],
        scheduler_warmup_steps=train["warmup"],
        n_demos=0 if act.condition == "none" else sizes.demos,
        n_bank=0 if bank is None else len(bank.episodes),
    )


def _inputs(
    act: ActConfig, state: int, environment_state: int, image_size: int
) -> dict[str, PolicyFeature]:
    inputs = {}
    if state:
        inputs[OBS_STATE] = PolicyFeature(FeatureType.STATE, (state,))
    if environment_state:
        inputs[OBS_ENV_STATE] = PolicyFeature(FeatureType.ENV, (environment_state,))
    image = PolicyFeature(FeatureType.VISUAL, (3, image_size, image_size))
    return inputs | {f"{CAMERA_PREFIX}{camera}": image for camera in act.cameras}


def _stats(normalizer: Normalizer, *, less: float) -> dict[str, dict[str, Tensor]]:
    """LeRobot's statistics, deviations less by so much."""
    moments: Mapping[str, Moments] = vars(normalizer)
    return {
        _VECTORS[name]: {"mean": own.mean, "std": own.deviation - less}
        for name, own in moments.items()
        if len(own.mean)
    }


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
        facts = _read_json(pretrained / "train_config.json")
        progress = _read_json(pretrained.parent / "training_state/training_step.json")
        step = int(progress.get("step", 0))
    config, seen = policy.config, policy.rows.seen.nonzero()[:, 0]
    dataset = facts.get("dataset") or {}
    checkpoint = Checkpoint(
        step=step,
        seed=int(facts.get("seed") or 0),
        act=config.act_config(),
        sizes=replace(config.sizes(), demos=len(seen)),
        dataset=str(dataset.get("root") or dataset.get("repo_id") or pretrained),
        content_hash="",
        episodes=tuple(policy.rows.episodes[seen].tolist()),
        successes=tuple(policy.rows.successes[seen].tolist()),
        settings={
            "loss": asdict(config.loss_config()),
            "train": asdict(_train_config(config, step, int(facts.get("batch_size") or 1))),
            "retrieval_camera": policy.camera,
        },
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
        backbone_scale=config.optimizer_lr_backbone / config.optimizer_lr,
        pb_learning_rate=config.optimizer_lr_pb,
        weight_decay=config.optimizer_weight_decay,
        warmup=config.scheduler_warmup_steps,
        schedule=config.scheduler,
    )


def _tensors(policy: OuttakesActPolicy, normalizer: Normalizer, seen: Tensor) -> dict[str, Tensor]:
    tensors = {f"policy.{name}": tensor for name, tensor in policy.model.state_dict().items()}
    tensors |= {f"normalizer.{name}": tensor for name, tensor in normalizer.tensors().items()}
    if policy.model.bias is not None:
        bank = policy.success_bank()
        tensors["policy.bias.table"] = policy.model.bias.table.detach()[seen]
        tensors["bank.embeddings"] = bank.embeddings
        tensors["bank.biases"], tensors["bank.episodes"] = bank.biases, bank.episodes
    return tensors

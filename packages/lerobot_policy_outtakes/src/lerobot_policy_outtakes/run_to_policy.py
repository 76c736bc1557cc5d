"""Runs of Outtakes as LeRobot's `pretrained_model` folders, acting the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lerobot.configs import FeatureType, PolicyFeature
from lerobot.processor import make_default_pre_post_processors
from lerobot.utils.constants import ACTION, OBS_ENV_STATE, OBS_STATE
from torch import Tensor

from lerobot_policy_outtakes.configuration_outtakes_act import OuttakesActConfig
from lerobot_policy_outtakes.modeling_outtakes_act import OuttakesActPolicy
from outtakes.data.lerobot.layout import CAMERA_PREFIX
from outtakes.data.lerobot.write import check_free
from outtakes.data.normalize import Moments, Normalizer
from outtakes.data.observation import Sizes
from outtakes.errors import CheckpointError
from outtakes.evaluation.controller import ControllerConfig
from outtakes.policy.act.act import ActConfig
from outtakes.policy.act.retrieval import Bank
from outtakes.policy.checkpoint import FILE, Checkpoint
from outtakes.policy.eyes.frozen import FrozenEyes

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
        CheckpointError: when there is no run, or one of another policy than ACT.
        DatasetError: when `out` is taken.
    """
    checkpoint = Checkpoint.load(run)
    check_free(out)
    act, memory = checkpoint.config, checkpoint.owned("memory")
    if not isinstance(act, ActConfig):
        raise CheckpointError(
            f"a policy of kind {act.kind}", where=run, remedy="convert runs of ACT alone"
        )
    if checkpoint.tasks:
        raise CheckpointError(
            f"a policy that is told {len(checkpoint.tasks)} tasks apart",
            where=run,
            remedy="convert a run that was trained on one of them, or with --one-task",
        )
    bank = Bank(**memory) if memory else None
    sight = checkpoint.sight()
    config = _config(checkpoint, act, bank, controller, image_size)
    if sight is not None:
        some = next(iter(sight.projections.values()))
        config = replace(config, **_eyes(sight.eyes), eyes_features=len(some.mean))
    policy = OuttakesActPolicy(config)
    policy.model.load_state_dict(checkpoint.weights())
    episodes = np.array(checkpoint.episodes, dtype=np.int64)
    if config.n_demos:
        policy.rows.assign(episodes, np.array(checkpoint.successes))
        policy.rows.see(torch.arange(config.n_demos))
    if bank is not None:
        policy.bank.fill(policy.rows.find(bank.episodes), bank.embeddings)
    normalizer = checkpoint.normalizer()
    if sight is not None and policy.eyes is not None:
        policy.eyes.fill(sight, normalizer.environment_state)
        nothing = Moments(torch.zeros(0), torch.zeros(0))
        normalizer = replace(normalizer, environment_state=nothing)
    before, _ = make_default_pre_post_processors(config, _stats(normalizer, less=_EPSILON))
    _, after = make_default_pre_post_processors(config, _stats(normalizer, less=0.0))
    # LeRobot then chooses the best device of the machine it loads the policy on.
    config.device = None
    for part in (policy, before, after):
        part.save_pretrained(out)
    return out


def _config(
    checkpoint: Checkpoint,
    act: ActConfig,
    bank: Bank | None,
    controller: ControllerConfig,
    image_size: int,
) -> OuttakesActConfig:
    sizes, train = checkpoint.sizes, checkpoint.training
    rate, ensemble = train["learning_rate"], controller.ensemble
    return OuttakesActConfig(
        device="cpu",
        push_to_hub=False,
        input_features=_inputs(act, sizes, image_size),
        output_features={ACTION: PolicyFeature(FeatureType.ACTION, (sizes.action,))},
        chunk_size=act.chunk,
        n_action_steps=1 if ensemble is not None else min(controller.replan, act.chunk),
        temporal_ensemble_coeff=ensemble,
        steering=act.steering(controller.steering),
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
        vae_weight=act.loss.vae_weight,
        divergence_weight=act.loss.kl_weight,
        divergence_cap=act.loss.kl_cap,
        optimizer_lr=rate,
        optimizer_lr_backbone=rate * act.backbone_scale,
        optimizer_lr_pb=act.pb_learning_rate,
        optimizer_weight_decay=train["weight_decay"],
        scheduler=train["schedule"],
        scheduler_warmup_steps=train["warmup"],
        n_demos=0 if act.condition == "none" else sizes.demos,
        n_bank=0 if bank is None else len(bank.episodes),
    )


def _eyes(eyes: FrozenEyes) -> dict[str, Any]:
    """The fields of LeRobot's settings that say which frozen eyes."""
    named = ("network", "weights", "form", "layer", "components", "image_size")
    return {f"eyes_{name}": getattr(eyes, name) for name in named}


def _inputs(act: ActConfig, sizes: Sizes, image_size: int) -> dict[str, PolicyFeature]:
    inputs = {}
    if sizes.state:
        inputs[OBS_STATE] = PolicyFeature(FeatureType.STATE, (sizes.state,))
    if sizes.environment_state and act.eyes is None:
        inputs[OBS_ENV_STATE] = PolicyFeature(FeatureType.ENV, (sizes.environment_state,))
    size = image_size if act.eyes is None else act.eyes.image_size
    image = PolicyFeature(FeatureType.VISUAL, (3, size, size))
    return inputs | {f"{CAMERA_PREFIX}{camera}": image for camera in act.views}


def _stats(normalizer: Normalizer, *, less: float) -> dict[str, dict[str, Tensor]]:
    """LeRobot's statistics, deviations less by so much."""
    moments: Mapping[str, Moments] = vars(normalizer)
    return {
        _VECTORS[name]: {"mean": own.mean, "std": own.deviation - less}
        for name, own in moments.items()
        if len(own.mean)
    }

"""LeRobot's own ACT with our shape and our weights, and our batches as it takes them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from lerobot.configs.types import FeatureType, PolicyFeature
from lerobot.policies.act.configuration_act import ACTConfig
from lerobot.policies.act.modeling_act import ACTPolicy
from torch import Tensor

from outtakes.data.batches import Batch
from outtakes.policy.act.act import ActPolicy

LEARNING_RATE, WEIGHT_DECAY, CLIP = 1e-5, 1e-4, 10.0


def lerobot_act(policy: ActPolicy, image_size: int) -> ACTPolicy:
    """LeRobot's ACTPolicy of the same shape, holding the same weights; training."""
    config, sizes = policy.config, policy.sizes
    inputs = {"observation.state": PolicyFeature(FeatureType.STATE, (sizes.state,))}
    if sizes.environment_state:
        inputs["observation.environment_state"] = PolicyFeature(
            FeatureType.ENV, (sizes.environment_state,)
        )
    for camera in config.cameras:
        shape = (3, image_size, image_size)
        inputs[f"observation.images.{camera}"] = PolicyFeature(FeatureType.VISUAL, shape)
    theirs = ACTPolicy(
        ACTConfig(
            input_features=inputs,
            output_features={"action": PolicyFeature(FeatureType.ACTION, (sizes.action,))},
            chunk_size=config.chunk,
            n_action_steps=config.chunk,
            dim_model=config.width,
            n_heads=config.heads,
            dim_feedforward=config.feed_forward,
            n_encoder_layers=config.encoder_layers,
            n_vae_encoder_layers=config.encoder_layers,
            n_decoder_layers=config.decoder_layers,
            latent_dim=config.latent,
            use_vae=config.use_vae,
            dropout=config.dropout,
            pretrained_backbone_weights=None,
            device="cpu",
        )
    )
    theirs.model.load_state_dict(weights_for_lerobot(policy), strict=True)
    return theirs.train()


def weights_for_lerobot(policy: ActPolicy) -> dict[str, Tensor]:
    """Our weights under LeRobot's names."""
    own = {name: tensor.detach() for name, tensor in policy.state_dict().items()}
    named: dict[str, Tensor] = {}
    _encoder(own, "encoder", named, "encoder", policy.config.encoder_layers)
    _decoder(own, named, policy.config.decoder_layers)
    for ours, theirs in _PLAIN.items():
        for part in ("weight", "bias"):
            if f"{ours}.{part}" in own:
                named[f"{theirs}.{part}"] = own[f"{ours}.{part}"]
    named["encoder_1d_feature_pos_embed.weight"] = own["vector_positions"]
    named["decoder_pos_embed.weight"] = own["action_positions"]
    if policy.variational is not None:
        _encoder(own, "variational.encoder", named, "vae_encoder", policy.config.encoder_layers)
        named["vae_encoder_cls_embed.weight"] = own["variational.summary"][0]
        named["vae_encoder_pos_enc"] = policy.variational.positions[None]
    named |= {name: t for name, t in own.items() if name.startswith("backbone.")}
    return named


_PLAIN = {
    "latent": "encoder_latent_input_proj",
    "state": "encoder_robot_state_input_proj",
    "environment_state": "encoder_env_state_input_proj",
    "image": "encoder_img_feat_input_proj",
    "action": "action_head",
    "decoder.norm": "decoder.norm",
    "variational.state": "vae_encoder_robot_state_input_proj",
    "variational.action": "vae_encoder_action_input_proj",
    "variational.posterior": "vae_encoder_latent_output_proj",
}
"""Our name -> LeRobot's, of layers with a weight and a constant term."""


def _encoder(
    own: dict[str, Tensor], ours: str, named: dict[str, Tensor], theirs: str, layers: int
) -> None:
    for i in range(layers):
        mine, other = f"{ours}.layers.{i}", f"{theirs}.layers.{i}"
        _attention(own, f"{mine}.self_attention", named, f"{other}.self_attn")
        _rest_of_layer(own, mine, named, other, norms=2)


def _decoder(own: dict[str, Tensor], named: dict[str, Tensor], layers: int) -> None:
    for i in range(layers):
        mine = other = f"decoder.layers.{i}"
        _attention(own, f"{mine}.self_attention", named, f"{other}.self_attn")
        _attention(own, f"{mine}.cross_attention", named, f"{other}.multihead_attn")
        _rest_of_layer(own, mine, named, other, norms=3)


def _attention(own: dict[str, Tensor], ours: str, named: dict[str, Tensor], theirs: str) -> None:
    for part in ("weight", "bias"):
        parts = [own[f"{ours}.{name}.{part}"] for name in ("query", "key", "value")]
        named[f"{theirs}.in_proj_{part}"] = torch.cat(parts)
        named[f"{theirs}.out_proj.{part}"] = own[f"{ours}.out.{part}"]


def _rest_of_layer(
    own: dict[str, Tensor], ours: str, named: dict[str, Tensor], theirs: str, norms: int
) -> None:
    for part in ("weight", "bias"):
        named[f"{theirs}.linear1.{part}"] = own[f"{ours}.feed_forward.expand.{part}"]
        named[f"{theirs}.linear2.{part}"] = own[f"{ours}.feed_forward.contract.{part}"]
        for i in range(norms):
            named[f"{theirs}.norm{i + 1}.{part}"] = own[f"{ours}.norms.{i}.{part}"]


def batch_for_lerobot(batch: Batch, policy: ActPolicy) -> dict[str, Tensor]:
    """A batch as LeRobot's preprocessing hands it to the policy: standardised, images too."""
    given = {
        "observation.state": batch.observation.state,
        "action": batch.action,
        "action_is_pad": ~batch.valid,
    }
    if policy.sizes.environment_state:
        given["observation.environment_state"] = batch.observation.environment_state
    for camera in policy.config.cameras:
        assert policy.backbone is not None
        pixels = batch.observation.images[camera] / 255
        image = (pixels - policy.backbone.mean) / policy.backbone.deviation
        given[f"observation.images.{camera}"] = image.permute(0, 3, 1, 2).contiguous()
    return given


def training_step(theirs: ACTPolicy, next_batch: Callable[[], dict[str, Tensor]]) -> Callable:
    """One step as `lerobot-train` takes it: forward, backward, clip, AdamW."""
    adamw = torch.optim.AdamW(
        theirs.get_optim_params(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY
    )

    def step() -> None:
        loss, _ = theirs(next_batch())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(theirs.parameters(), CLIP)
        adamw.step()
        adamw.zero_grad()

    return step

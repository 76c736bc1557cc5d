"""Settings of the policy, named as those of LeRobot's own ACT where it has them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from lerobot.configs import NormalizationMode, PolicyFeature, PreTrainedConfig
from lerobot.optim.schedulers import (
    ConstantWithWarmupSchedulerConfig,
    CosineAnnealingWithWarmupSchedulerConfig,
    LRSchedulerConfig,
)
from lerobot.utils.constants import ACTION, OBS_ENV_STATE, OBS_STATE

from lerobot_policy_outtakes.optimizer_config import OuttakesAdamWConfig
from outtakes.data.lerobot.layout import camera_name
from outtakes.data.observation import Sizes
from outtakes.errors import ConfigError, UnknownName
from outtakes.policy.act.act import ActConfig, Condition
from outtakes.policy.act.loss import LossConfig
from outtakes.policy.eyes.frozen import Form, FrozenEyes


@PreTrainedConfig.register_subclass("outtakes_act")
@dataclass
class OuttakesActConfig(PreTrainedConfig):
    """ACT with a parametric bias (PB) for each demonstration. The defaults are the paper's.

    Raises:
        ConfigError: on settings that cannot work.
        UnknownName: on an unknown condition, schedule or steering.
    """

    chunk_size: int = 100
    """L, action steps predicted at once."""
    n_action_steps: int = 100
    """Steps of a chunk executed before the policy is asked again; at most `chunk_size`."""
    temporal_ensemble_coeff: float | None = None
    """ACT's temporal ensembling; 0.01 there. None to execute chunks as they are; else
    `n_action_steps` must be 1."""
    steering: str = "nearest"
    """Which PB steers: that of the "nearest" success, as in the paper; the mean over the n nearest,
    "nearest-<n>", or over all, "mean"; or "zero", none at all. Without PB it says nothing."""

    condition: str = "pb"
    """What tells demonstrations apart: "pb", "label" (a one-bit token) or "none" (plain ACT)."""
    dim_model: int = 512
    """D, the width of every token."""
    n_heads: int = 8
    dim_feedforward: int = 3200
    n_encoder_layers: int = 4
    n_decoder_layers: int = 7
    """All are used and the last is read; LeRobot's ACT has one."""
    dropout: float = 0.1
    use_vae: bool = True
    latent_dim: int = 32
    pb_size: int = 5
    """P, size of the parametric bias at each step of the chunk."""
    alpha_pb: float = 1.0
    """alpha_pb in Eq. 1, the scale of the bias."""
    backbone_weights: Path | None = None
    """safetensors file of ImageNet weights for the ResNet-18, torchvision's names."""

    eyes_network: str = ""
    """timm's name of the network of frozen eyes, which a run of Outtakes was trained with; none
    when empty. They are fitted by Outtakes, not by LeRobot."""
    eyes_weights: str = ""
    """Identity of its weights; other ones are refused."""
    eyes_form: str = "vector"
    eyes_layer: int = 0
    eyes_components: int = 1
    eyes_image_size: int = 1
    eyes_features: int = 0
    """Numbers that the projection of each camera is made from."""

    vae_weight: float = 10.0
    """Weight of the variational encoder's KL to its prior; `kl_weight` in LeRobot's ACT."""
    divergence_weight: float = 0.01
    """lambda_kl in Eq. 4, weight of the divergence between successes and failures."""
    divergence_cap: float = 2.0
    """Nats; the divergence counts as at most this much."""

    outcome_from: str | None = None
    """The one source of outcomes: labels, folders, or a column as COLUMN or COLUMN:THRESHOLD;
    looked for everywhere when not given."""
    labels: Path | None = None
    """A label file (.json or .csv) in place of those in the dataset's folder."""

    optimizer_lr: float = 1e-5
    optimizer_lr_backbone: float = 1e-5
    optimizer_lr_pb: float = 1e-3
    """Learning rate of the PB table, which has no weight decay."""
    optimizer_weight_decay: float = 1e-4
    scheduler: str = "constant"
    """"constant" or "cosine", after the warm-up."""
    scheduler_warmup_steps: int = 0

    n_demos: int = 0
    """Rows of the PB table: episodes of the dataset. Found by itself."""
    n_bank: int = 0
    """Successes to retrieve from at run time. Found by itself."""
    demos_hash: str = ""
    """Of the episodes, their lengths and outcomes: whose rows those of the table are. Found by
    itself."""

    normalization_mapping: dict[str, NormalizationMode] = field(
        default_factory=lambda: {
            # Images come as they are: the backbone standardises them itself.
            "VISUAL": NormalizationMode.IDENTITY,
            "STATE": NormalizationMode.MEAN_STD,
            "ENV": NormalizationMode.MEAN_STD,
            "ACTION": NormalizationMode.MEAN_STD,
        }
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.n_obs_steps != 1:
            raise ConfigError(f"n_obs_steps {self.n_obs_steps}", remedy="leave it at 1")
        if self.scheduler not in ("constant", "cosine"):
            raise UnknownName("scheduler", self.scheduler, ("constant", "cosine"))
        if not 1 <= self.n_action_steps <= self.chunk_size:
            raise ConfigError(
                f"n_action_steps {self.n_action_steps} with a chunk_size of {self.chunk_size}",
                remedy=f"choose 1 to {self.chunk_size}",
            )
        if self.temporal_ensemble_coeff is not None and self.n_action_steps != 1:
            raise ConfigError(
                f"temporal ensembling with n_action_steps {self.n_action_steps}",
                remedy="set n_action_steps to 1: the policy is asked at every step",
            )
        if not self.optimizer_lr > 0:
            raise ConfigError(f"optimizer_lr {self.optimizer_lr}", remedy="choose more than 0")
        # Refuses what cannot work, as the core does.
        act = self.act_config()
        if act.condition == "pb":
            act.check_steering(self.steering)

    def act_config(self) -> ActConfig:
        """Settings of the policy, as the core takes them."""
        return ActConfig(
            condition=cast(Condition, self.condition),
            chunk=self.chunk_size,
            width=self.dim_model,
            heads=self.n_heads,
            encoder_layers=self.n_encoder_layers,
            decoder_layers=self.n_decoder_layers,
            feed_forward=self.dim_feedforward,
            dropout=self.dropout,
            use_vae=self.use_vae,
            latent=self.latent_dim,
            pb_size=self.pb_size,
            alpha_pb=self.alpha_pb,
            cameras=() if self.eyes_network else tuple(self.cameras),
            eyes=self.frozen_eyes(),
            loss=LossConfig(
                kl_weight=self.divergence_weight,
                kl_cap=self.divergence_cap,
                vae_weight=self.vae_weight,
            ),
            pb_learning_rate=self.optimizer_lr_pb,
            backbone_scale=self.optimizer_lr_backbone / self.optimizer_lr,
            backbone_weights=self.backbone_weights,
        )

    def frozen_eyes(self) -> FrozenEyes | None:
        """Settings of frozen eyes, as the core takes them; None when there are none."""
        if not self.eyes_network:
            return None
        return FrozenEyes(
            cameras=tuple(self.cameras),
            form=cast(Form, self.eyes_form),
            network=self.eyes_network,
            weights=self.eyes_weights,
            layer=self.eyes_layer,
            components=self.eyes_components,
            image_size=self.eyes_image_size,
        )

    def sizes(self) -> Sizes:
        """What the dataset dictates."""
        inputs, outputs = self.input_features or {}, self.output_features or {}
        eyes, poses = self.frozen_eyes(), _length(inputs.get(OBS_ENV_STATE))
        return Sizes(
            demos=self.n_demos,
            state=_length(inputs.get(OBS_STATE)),
            environment_state=poses if eyes is None else eyes.vector,
            action=_length(outputs.get(ACTION)),
            map_channels=0 if eyes is None else eyes.map_channels,
        )

    @property
    def cameras(self) -> dict[str, str]:
        """Camera, as the core names it -> its feature."""
        return {camera_name(feature): feature for feature in self.image_features}

    def validate_features(self) -> None:
        """Refuse features that a policy cannot be made of.

        Raises:
            ConfigError: when there is no action, or nothing to observe.
        """
        sizes = self.sizes()
        if not sizes.action:
            raise ConfigError("no action to predict", remedy=f"record {ACTION!r}")
        if not (sizes.state or sizes.environment_state or self.image_features):
            raise ConfigError(
                "nothing to observe",
                remedy=f"record cameras, {OBS_STATE!r} or {OBS_ENV_STATE!r}",
            )

    def get_optimizer_preset(self) -> OuttakesAdamWConfig:
        """AdamW, under which PB rows that are not in the batch stay where they are."""
        return OuttakesAdamWConfig(lr=self.optimizer_lr, weight_decay=self.optimizer_weight_decay)

    def get_scheduler_preset(self) -> LRSchedulerConfig | None:
        """The same course for every learning rate; None when they never change."""
        warmup = self.scheduler_warmup_steps
        if self.scheduler == "cosine":
            return CosineAnnealingWithWarmupSchedulerConfig(num_warmup_steps=warmup)
        return ConstantWithWarmupSchedulerConfig(num_warmup_steps=warmup) if warmup else None

    @property
    def observation_delta_indices(self) -> None:
        """Only the present observation is used."""

    @property
    def action_delta_indices(self) -> list[int]:
        """The actions of one chunk, from the present step on."""
        return list(range(self.chunk_size))

    @property
    def reward_delta_indices(self) -> None:
        """Rewards are not used."""


def _length(feature: PolicyFeature | None) -> int:
    return 0 if feature is None else feature.shape[0]

"""The policy of Outtakes in LeRobot's clothes.

Model, loss and retrieval are those of `outtakes.policy`; here they get their batches from LeRobot's
processors and keep what they need in LeRobot's checkpoint.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from lerobot.policies.act.modeling_act import ACTTemporalEnsembler
from lerobot.policies.pretrained import PreTrainedPolicy
from lerobot.utils.constants import ACTION, OBS_ENV_STATE, OBS_STATE
from safetensors.torch import load_file
from torch import Tensor

from lerobot_policy_outtakes.configuration_outtakes_act import OuttakesActConfig
from lerobot_policy_outtakes.demonstrations import Demonstrations, find_demonstrations
from lerobot_policy_outtakes.optimizer_config import ROWS
from lerobot_policy_outtakes.processor_outtakes_act import (
    Preprocessor,
    make_outtakes_act_pre_post_processors,
    tamed,
)
from lerobot_policy_outtakes.stored_sight import StoredSight
from lerobot_policy_outtakes.table_rows import Rows, StoredBank
from outtakes.data.batches import Batch
from outtakes.data.lerobot.layout import CAMERA_PREFIX
from outtakes.data.observation import Observation
from outtakes.errors import ConfigError
from outtakes.policy.act.act import ActPolicy
from outtakes.policy.act.retrieval import Bank
from outtakes.policy.eyes.resnet import FEATURES
from outtakes.policy.eyes.sight import Gaze
from outtakes.policy.policy import ParameterGroup, Steering

if TYPE_CHECKING:
    from lerobot.datasets import LeRobotDatasetMetadata

_OF_DEMOS = ("model.bias.table", "rows.", "bank.")
"""Tensors of a checkpoint that belong to the demonstrations it was trained on."""
_LOGGED = {
    "action_l1": "loss/action_l1",
    "vae_kl": "loss/vae_kl",
    "d_sym_nats": "divergence/d_sym_nats",
}
"""Part of the loss, as LeRobot logs it -> as the core names it."""


class OuttakesActPolicy(PreTrainedPolicy):
    """ACT with a parametric bias (PB) for each demonstration.

    Args:
        config: shape of the policy; what it must know of the dataset is filled in.
        dataset_meta: the training data; only in training.
        dataset_stats: not looked at; the training data have them, too.

    Raises:
        ConfigError: when there is nothing to observe or to predict.
        DatasetError: when the training data do not say how each episode ended.
    """

    # LeRobot declares both as None.
    config_class = OuttakesActConfig  # pyright: ignore[reportAssignmentType]
    name = "outtakes_act"  # pyright: ignore[reportAssignmentType]

    def __init__(
        self,
        config: OuttakesActConfig,
        dataset_meta: LeRobotDatasetMetadata | None = None,
        dataset_stats: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(config)
        config.validate_features()
        self.config: OuttakesActConfig = config
        self.demos: Demonstrations | None = None
        self.preprocess: Preprocessor | None = None
        self.rows_are_new = False
        if dataset_meta is not None:
            self._adopt(dataset_meta)
        act, sizes = config.act_config(), config.sizes()
        self.model = ActPolicy(act, sizes)
        # From here on the backbone's weights are in the checkpoint.
        config.backbone_weights = None
        self.rows = Rows(sizes.demos)
        if self.demos is not None:
            self.rows.assign(self.demos.episodes, self.demos.successes)
        self.eyes = None if act.eyes is None else StoredSight(act.eyes, config.eyes_features)
        self._gaze: Gaze | None = None
        width = FEATURES if act.cameras else sizes.state + sizes.environment_state
        width = width if act.eyes is None else act.eyes.components
        self.bank = StoredBank(config.n_bank, width)
        self._bank_is_stale = False
        self._ensembler = (
            None
            if config.temporal_ensemble_coeff is None
            else ACTTemporalEnsembler(config.temporal_ensemble_coeff, config.chunk_size)
        )
        self.reset()

    def _adopt(self, meta: LeRobotDatasetMetadata) -> None:
        """Make the demonstrations of a dataset the rows of the PB table."""
        config = self.config
        if config.eyes_network:
            raise ConfigError(
                "frozen eyes are not fitted by lerobot-train",
                remedy="train with 'outtakes train', then 'outtakes convert' the run",
            )
        # LeRobot hands these very statistics to the processors, those of a checkpoint included.
        meta.stats = tamed(meta.stats or {})
        self.preprocess, _ = make_outtakes_act_pre_post_processors(config, meta.stats)
        if config.condition == "none":
            return
        self.demos = find_demonstrations(meta, config)
        self.rows_are_new = config.demos_hash != self.demos.hash
        if self.rows_are_new:
            config.n_demos, config.n_bank = len(self.demos), 0
            config.demos_hash = self.demos.hash

    @classmethod
    def _load_as_safetensor(  # pyright: ignore[reportIncompatibleMethodOverride]
        cls, model: OuttakesActPolicy, model_file: str, map_location: str, strict: bool
    ) -> OuttakesActPolicy:
        if not model.rows_are_new:
            return super()._load_as_safetensor(model, model_file, map_location, strict)
        logging.warning("Not the demonstrations of the checkpoint: their PBs start from zero.")
        tensors = load_file(model_file)
        kept = {name: t for name, t in tensors.items() if not name.startswith(_OF_DEMOS)}
        model.load_state_dict(kept, strict=False)
        return model

    def get_optim_params(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
    ) -> list[dict[str, Any]]:
        """Groups of parameters: the network, the image backbone, the PB table."""
        return [self._lerobot_group(group) for group in self.model.groups()]

    def _lerobot_group(self, group: ParameterGroup) -> dict[str, Any]:
        config = self.config
        rate = config.optimizer_lr if group.rate is None else group.rate
        return {
            "params": [p for name, p in self.model.named_parameters() if name in group.names],
            "lr": rate * group.scale,
            "weight_decay": config.optimizer_weight_decay if group.decays else 0.0,
            ROWS: group.rowwise,
        }

    def forward(self, batch: dict[str, Any]) -> tuple[Tensor, dict[str, float]]:
        """The loss of Eq. 4 on a batch of LeRobot's, and its parts.

        The KL term is active in training, once both outcomes have come up.
        """
        own = self.rows.find(batch["episode_index"])
        others = self._partners(own) if self.training else None
        losses = self.model.losses(self._batch(batch, own, others))
        return losses.total, {name: losses.parts[part].item() for name, part in _LOGGED.items()}

    def _partners(self, own: Tensor) -> Tensor | None:
        """Note who is trained on; (B,) rows of others to be set apart from, or None."""
        self.rows.see(own)
        self._bank_is_stale = True
        if self.model.bias is None or not self.config.divergence_weight:
            return None
        return self.rows.others(own)

    def _batch(self, batch: Mapping[str, Any], own: Tensor, others: Tensor | None) -> Batch:
        valid = ~batch["action_is_pad"]
        return Batch(
            demo=own,
            other_demo=own if others is None else others,
            success=self.rows.ended_well(own),
            observation=self._observation(batch),
            # LeRobot hands vectors of one number over as numbers.
            action=batch[ACTION].reshape(*valid.shape, self.model.sizes.action),
            valid=valid,
            paired=others is not None,
        )

    def _observation(self, batch: Mapping[str, Any]) -> Observation:
        """What the core's policy sees in a batch that the preprocessor has been over."""
        sizes = self.model.sizes
        images = {camera: _pixels(batch, name) for camera, name in self.config.cameras.items()}
        vectors = {OBS_STATE: sizes.state, OBS_ENV_STATE: sizes.environment_state}
        if self.eyes is not None:
            return self._looked(batch, self.eyes, images)
        known = {n: _given(batch, n).reshape(-1, size) for n, size in vectors.items() if size}
        some = next(iter([*known.values(), *images.values()]))
        absent = torch.zeros(len(some), 0, device=some.device)
        return Observation(known.get(OBS_STATE, absent), known.get(OBS_ENV_STATE, absent), images)

    def _looked(
        self, batch: Mapping[str, Any], eyes: StoredSight, images: Mapping[str, Tensor]
    ) -> Observation:
        """What it sees through frozen eyes."""
        if self._gaze is None:
            self._gaze = Gaze(eyes.sight, eyes.mean.device)
        pictures = {
            f"{CAMERA_PREFIX}{camera}": image.cpu().numpy() for camera, image in images.items()
        }
        features, sight = self._gaze.features(pictures), self._gaze.sight
        vector = eyes.moments.standardise(sight.vector(features))
        state = _given(batch, OBS_STATE) if self.model.sizes.state else vector[:, :0]
        return Observation(state, vector, {}, sight.cells(features))

    def reset(self) -> None:
        """Begin new episodes in every row."""
        self.steering: Steering | None = None
        """What each row follows, from its first observation on."""
        self._queue: deque[Tensor] = deque()
        if self._ensembler is not None:
            self._ensembler.reset()

    @torch.no_grad()
    def select_action(self, batch: dict[str, Any], **unused: Any) -> Tensor:
        """(B, A) standardised action of the next step of each row's episode."""
        if self._ensembler is not None:
            return self._ensembler.update(self.predict_action_chunk(batch))
        if not self._queue:
            chunk = self.predict_action_chunk(batch)
            self._queue.extend(chunk[:, : self.config.n_action_steps].unbind(dim=1))
        return self._queue.popleft()

    @torch.no_grad()
    def predict_action_chunk(self, batch: dict[str, Any], **unused: Any) -> Tensor:
        """(B, L, A) standardised action chunk; a row's first observation chooses its PB."""
        self.eval()
        observation = self._observation(batch)
        if self.steering is None:
            if self.model.bias is not None:
                self.model.bank = self.success_bank()
            wanted = self.model.config.steering(self.config.steering)
            self.steering = self.model.begin(observation, wanted)
        return self.model.act(observation, self.steering)

    def success_bank(self) -> Bank:
        """PBs of the successes, for retrieval.

        Raises:
            CheckpointError: when there is none.
            ConfigError: without parametric bias.
        """
        if self.model.bias is None:
            raise ConfigError("no parametric bias", remedy="train with --policy.condition=pb")
        self._refresh_bank()
        rows = self.bank.rows
        biases, episodes = self.model.bias.rows(rows), self.rows.episodes[rows]
        return Bank(self.bank.embeddings, biases.detach(), episodes)

    @torch.inference_mode(False)
    @torch.no_grad()
    def _refresh_bank(self) -> None:
        """Embed the first observations anew if training has gone on since."""
        if self.demos is None or self.preprocess is None or not self._bank_is_stale:
            return
        rows = self.rows.succeeded()
        frames = self.demos.first_frames(self.rows.episodes[rows].tolist())
        first = (self._observation(self.preprocess(frame)) for frame in frames)
        embeddings = [self.model.embed(observation) for observation in first]
        none = self.bank.embeddings[:0]
        self.bank.fill(rows, torch.cat([none, *embeddings]))
        self.config.n_bank = len(rows)
        self._bank_is_stale = False

    def _save_pretrained(
        self, save_directory: Path, state_dict: dict[str, Tensor] | None = None
    ) -> None:
        if self.model.bias is not None:
            self._refresh_bank()
        super()._save_pretrained(save_directory, state_dict=state_dict)


def _given(batch: Mapping[str, Any], name: str) -> Tensor:
    if name not in batch:
        found = sorted(feature for feature in batch if feature.startswith("observation."))
        raise ConfigError(
            f"no {name} to observe, only {', '.join(found) or 'nothing'}",
            remedy="give the policy what it was trained on",
        )
    return batch[name]


def _pixels(batch: Mapping[str, Any], name: str) -> Tensor:
    """LeRobot's images, (B, 3, height, width) in [0, 1], as ours: (B, height, width, 3) uint8."""
    return (_given(batch, name) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()

"""Small policies of the plugin, on datasets as LeRobot reads them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from lerobot.configs import PolicyFeature
from lerobot.datasets import LeRobotDataset, LeRobotDatasetMetadata
from lerobot.policies import make_policy
from lerobot.utils.constants import ACTION
from lerobot.utils.feature_utils import dataset_to_policy_features

from lerobot_policy_outtakes import OuttakesActConfig
from lerobot_policy_outtakes.modeling_outtakes_act import OuttakesActPolicy
from lerobot_policy_outtakes.processor_outtakes_act import make_outtakes_act_pre_post_processors

CHUNK = 5
TINY = {
    "device": "cpu",
    "push_to_hub": False,
    "chunk_size": CHUNK,
    "n_action_steps": 3,
    "dim_model": 16,
    "n_heads": 2,
    "dim_feedforward": 24,
    "n_encoder_layers": 1,
    "n_decoder_layers": 2,
    "dropout": 0.0,
    "use_vae": False,
}
"""Settings of a policy that is quick and, dropout and variational noise aside, not random."""


def metadata(root: Path) -> LeRobotDatasetMetadata:
    """What LeRobot knows of a dataset on disk."""
    return LeRobotDatasetMetadata(f"local/{root.name}", root=root)


def features(root: Path, *wanted: str) -> dict[str, PolicyFeature]:
    """The features of a dataset, by LeRobot's names, that a policy is to observe."""
    found = dataset_to_policy_features(metadata(root).features)
    return {name: found[name] for name in wanted or found if name != ACTION}


def make_trainee(root: Path, *observed: str, **changes: Any) -> OuttakesActPolicy:
    """A policy as lerobot-train makes it, observing everything unless told otherwise."""
    torch.manual_seed(0)
    config = OuttakesActConfig(**TINY | changes)
    config.input_features = features(root, *observed)
    policy = make_policy(config, ds_meta=metadata(root))
    assert isinstance(policy, OuttakesActPolicy)
    return policy.train()


@cache
def open_dataset(root: Path) -> LeRobotDataset:
    """A dataset as LeRobot opens it to train on chunks of actions."""
    steps = {ACTION: [i / metadata(root).fps for i in range(CHUNK)]}
    return LeRobotDataset(
        f"local/{root.name}", root=root, delta_timestamps=steps, video_backend="pyav"
    )


def train_batch(policy: OuttakesActPolicy, root: Path, rows: Sequence[int]) -> dict[str, Any]:
    """Rows of a dataset as a data loader and the policy's preprocessor put them together."""
    dataset = open_dataset(root)
    preprocess, _ = make_outtakes_act_pre_post_processors(policy.config, dataset.meta.stats)
    return preprocess(torch.utils.data.default_collate([dataset[row] for row in rows]))

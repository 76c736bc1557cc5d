"""LeRobot's processors for the policy: vectors are standardised, images stay as they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from lerobot.lerobot_types import PolicyAction
from lerobot.processor import PolicyProcessorPipeline, make_default_pre_post_processors
from lerobot.utils.constants import ACTION, OBS_ENV_STATE, OBS_STATE

from lerobot_policy_outtakes.configuration_outtakes_act import OuttakesActConfig
from outtakes.data.normalize import SMALLEST_DEVIATION

Stats = Mapping[str, Mapping[str, Any]]
"""LeRobot feature name -> name of a statistic -> its value."""
Preprocessor = PolicyProcessorPipeline[dict[str, Any], dict[str, Any]]
Postprocessor = PolicyProcessorPipeline[PolicyAction, PolicyAction]


def make_outtakes_act_pre_post_processors(
    config: OuttakesActConfig, dataset_stats: Stats | None = None
) -> tuple[Preprocessor, Postprocessor]:
    """What comes before the policy and after it.

    Args:
        config: of the policy.
        dataset_stats: of the training data.
    """
    stats = None if dataset_stats is None else tamed(dataset_stats)
    return make_default_pre_post_processors(config, stats, normalizer_device=config.device)


def tamed(stats: Stats) -> dict[str, dict[str, Any]]:
    """The same statistics, in which no vector's dimension has a smaller standard deviation than
    our own normaliser takes: those that hardly move are not blown up."""
    changed = {name: dict(own) for name, own in stats.items()}
    for name in (OBS_STATE, OBS_ENV_STATE, ACTION):
        if name in changed:
            deviation = torch.as_tensor(changed[name]["std"])
            changed[name]["std"] = deviation.clamp(min=SMALLEST_DEVIATION)
    return changed

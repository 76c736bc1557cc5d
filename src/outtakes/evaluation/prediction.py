"""Action errors on demonstrations that were held out of training: prediction in place of rollouts.

A policy can predict held-out successes better and still succeed less often; how far one tells the
other is measured by `outtakes.evaluation.foresight`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from outtakes.data.demo import DemoSet, Outcome
from outtakes.files import Location, load_json, write_json
from outtakes.policy.checkpoint import Checkpoint
from outtakes.ranking.action_error import action_scale, errors_along

_KIND, _VERSION = "held-out", 1


@dataclass(frozen=True)
class HeldOutErrors:
    """Action error of one run on each demonstration that it was not trained on."""

    episodes: tuple[int, ...]
    """Episode indices."""
    by_steering: Mapping[str, np.ndarray]
    """Steering -> (episodes,) float64: mean absolute error of the action chunks predicted along the
    demonstration, in standard deviations of the successes' actions."""

    def as_json(self) -> dict[str, Any]:
        """Its content as JSON values."""
        errors = {steering: values.tolist() for steering, values in self.by_steering.items()}
        return {"episodes": list(self.episodes), "errors": errors}

    @staticmethod
    def parse(content: Mapping[str, Any]) -> HeldOutErrors:
        """What `as_json` gave."""
        errors = {s: np.array(values, np.float64) for s, values in content["errors"].items()}
        return HeldOutErrors(tuple(content["episodes"]), errors)

    def save(self, path: Location) -> None:
        """Write `held-out.json`."""
        write_json(path, _KIND, _VERSION, self.as_json())

    @staticmethod
    def load(path: Location) -> HeldOutErrors:
        """Read `held-out.json`.

        Raises:
            ArtifactError: when it is missing, damaged or of another version.
        """
        return load_json(path, _KIND, _VERSION, HeldOutErrors.parse, remedy="run it again")


def held_out_errors(
    checkpoint: Checkpoint,
    demos: DemoSet,
    episodes: Sequence[int],
    steerings: Sequence[str] = ("",),
    *,
    device: torch.device | str = "cpu",
) -> HeldOutErrors:
    """Measure a run on demonstrations that it was not trained on.

    Args:
        checkpoint: the trained run.
        demos: the dataset; the successes in it say what one unit of error is.
        episodes: what was held out.
        steerings: ways to steer the policy; "" for its default.
        device: where to compute.
    """
    scale = action_scale(demos.subset(demos.episodes(Outcome.SUCCESS)))
    agent, own = checkpoint.agent(device), demos.subset(episodes)
    errors = {
        steering: np.array([float(errors_along(agent, d, scale, steering).mean()) for d in own])
        for steering in steerings
    }
    return HeldOutErrors(tuple(episodes), errors)

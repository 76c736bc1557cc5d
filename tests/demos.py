"""Small demonstrations in memory, for the layers that never see a dataset on disk."""

from __future__ import annotations

import numpy as np

from outtakes.data.demo import DemoSet
from outtakes.policy.act import ActConfig


def make_demos(
    successes: int = 3,
    failures: int = 3,
    *,
    length: tuple[int, int] = (6, 12),
    camera: bool = False,
    seed: int = 0,
) -> DemoSet:
    """Random walks; actions are a linear function of the state, with another sign in failures."""
    rng = np.random.default_rng(seed)
    n = successes + failures
    lengths = rng.integers(*length, size=n)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    state = rng.normal(size=(starts[-1], 4)).astype(np.float32)
    environment_state = rng.normal(size=(starts[-1], 3)).astype(np.float32)
    success = np.arange(n) % 2 == 0 if successes == failures else np.arange(n) < successes
    sign = np.repeat(np.where(success, 1.0, -1.0), lengths)[:, None]
    action = (sign * state @ rng.normal(size=(4, 2))).astype(np.float32)
    images = {}
    if camera:
        images["overhead"] = rng.integers(0, 256, (starts[-1], 64, 64, 3), dtype=np.uint8)
    return DemoSet(
        name="made up",
        content_hash=f"made-up-{seed}",
        fps=20.0,
        episode_indices=np.arange(n) * 2,
        successes=success,
        starts=starts,
        state=state,
        environment_state=environment_state,
        action=action,
        images=images,
    )


def small_act(**changes) -> ActConfig:
    """A policy small enough for a test."""
    settings = {
        "chunk": 5,
        "width": 16,
        "heads": 2,
        "encoder_layers": 1,
        "decoder_layers": 3,
        "feed_forward": 24,
        "dropout": 0.0,
        "use_vae": False,
    }
    return ActConfig(**(settings | changes))

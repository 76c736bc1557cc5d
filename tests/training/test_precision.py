"""Training in bf16: the same loss curve as in fp32."""

import numpy as np
import pytest
import torch

from outtakes.policy.act.act import ActConfig
from outtakes.policy.act.loss import LossConfig
from outtakes.training.learner import Learner
from tests.demos import make_demos, small_act, small_train

STEPS = 300


def make_learner(act: ActConfig, **changes) -> Learner:
    return Learner(make_demos(), act, small_train(**changes), (0,), torch.device("cpu"))


def loss_curve(precision: str, **act) -> np.ndarray:
    """Imitation loss of every step of a run that learns."""
    learner = make_learner(
        small_act(loss=LossConfig(kl_weight=0.01), **act),
        precision=precision,
        steps=STEPS,
        learning_rate=3e-4,
        batch_size=16,
    )
    curve = []
    for _ in range(STEPS):
        batch = learner.batch(learner.step)
        losses, finite = learner.differentiate(batch)
        assert bool(finite.all())
        learner.move(batch)
        curve.append(float(losses.parts["loss/action_l1"].detach()))
    return np.array(curve)


@pytest.mark.parametrize("act", [{}, {"use_vae": True, "dropout": 0.1, "width": 32}])
def test_the_loss_curve_in_bf16_stays_within_one_percent(act):
    exact, half = loss_curve("fp32", **act), loss_curve("bf16", **act)
    smooth = np.ones(50) / 50
    exact, half = (np.convolve(curve, smooth, mode="valid") for curve in (exact, half))
    assert exact[-1] < 0.8 * exact[0]
    difference = np.abs(half / exact - 1)
    assert difference.mean() < 0.01 and difference[-1] < 0.01


def test_weights_and_moments_stay_in_fp32():
    learner = make_learner(small_act(use_vae=True, dropout=0.1), precision="bf16")
    batch = learner.batch(0)
    losses, _ = learner.differentiate(batch)
    learner.move(batch)
    assert {part.dtype for part in (losses.total, *losses.parts.values())} == {torch.float32}
    tensors = learner.tensors(0)
    assert {t.dtype for name, t in tensors.items() if t.is_floating_point()} == {torch.float32}

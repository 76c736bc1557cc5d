"""Training in bf16: the same loss curve as in fp32."""

import numpy as np
import pytest
import torch

from outtakes.policy.act.loss import LossConfig
from outtakes.training.learner import Learner
from tests.demos import make_demos, small_act, small_train

STEPS = 300


def loss_curve(precision: str, **act) -> np.ndarray:
    """Total loss of every step of a run that learns."""
    config = small_train(precision=precision, steps=STEPS, learning_rate=3e-4, batch_size=16)
    learner = Learner(
        make_demos(),
        small_act(**act),
        LossConfig(kl_weight=0.01),
        config,
        (0,),
        torch.device("cpu"),
    )
    losses = []
    for _ in range(STEPS):
        batch = learner.batch(learner.step)
        loss, finite = learner.differentiate(batch)
        assert bool(finite.all())
        learner.move(batch)
        losses.append(float(loss.action.detach()))
    return np.array(losses)


@pytest.mark.parametrize("act", [{}, {"use_vae": True, "dropout": 0.1, "width": 32}])
def test_the_loss_curve_in_bf16_stays_within_one_percent(act):
    exact, half = loss_curve("fp32", **act), loss_curve("bf16", **act)
    smooth = np.ones(50) / 50
    exact, half = (np.convolve(curve, smooth, mode="valid") for curve in (exact, half))
    assert exact[-1] < 0.8 * exact[0]
    difference = np.abs(half / exact - 1)
    assert difference.mean() < 0.01 and difference[-1] < 0.01


def test_weights_and_moments_stay_in_fp32():
    config = small_train(precision="bf16")
    act = small_act(use_vae=True, dropout=0.1)
    learner = Learner(make_demos(), act, LossConfig(), config, (0,), torch.device("cpu"))
    batch = learner.batch(0)
    loss, _ = learner.differentiate(batch)
    learner.move(batch)
    assert all(part.dtype == torch.float32 for part in loss.parts())
    tensors = learner.tensors(0)
    assert {t.dtype for name, t in tensors.items() if t.is_floating_point()} == {torch.float32}

"""Several seeds as one program: what one alone would learn, and resumable."""

from pathlib import Path

import numpy as np
import pytest
import torch

from outtakes.data.demo import DemoSet
from outtakes.policy.checkpoint import Checkpoint
from outtakes.policy.policy import PolicyConfig
from outtakes.training.learner import Learner
from outtakes.training.trainer import DivergedError, Monitor, train_together
from tests.demos import bias_of, make_demos, small_act, small_train, train_small

SEEDS = (3, 0, 7)


def train_all(
    out: Path,
    seeds: tuple[int, ...] = SEEDS,
    *,
    demos: DemoSet | None = None,
    policy: PolicyConfig | None = None,
    monitors: dict[int, Monitor] | None = None,
    **changes,
) -> list[Checkpoint]:
    return train_together(
        demos or make_demos(),
        {seed: out / str(seed) for seed in seeds},
        policy=policy or small_act(),
        config=small_train(**changes),
        monitors=monitors,
    )


class Curves:
    """Listens to several seeds; the total loss of every step of each."""

    def __init__(self, seeds: tuple[int, ...]) -> None:
        self.losses: dict[int, list[float]] = {seed: [] for seed in seeds}
        self.monitors: dict[int, Monitor] = {seed: self._listener(seed) for seed in seeds}

    def _listener(self, seed: int) -> Monitor:
        return lambda step, scalars: self.losses[seed].append(scalars["loss/total"])


@pytest.mark.parametrize("condition", ["none", "label", "pb"])
def test_losses_and_gradients_together_are_those_of_each_alone(condition):
    act, config = small_act(condition=condition), small_train()
    together = Learner(make_demos(), act, config, SEEDS, torch.device("cpu"))
    if condition == "pb":
        for policy in together.policies:
            table, generator = bias_of(policy).table, torch.Generator().manual_seed(1)
            torch.nn.init.normal_(table, generator=generator)
    losses, _ = together.differentiate(together.batch(0))
    for i, seed in enumerate(SEEDS):
        alone = Learner(make_demos(), act, config, (seed,), torch.device("cpu"))
        for mine, other in zip(
            alone.policies[0].parameters(), together.policies[i].parameters(), strict=True
        ):
            mine.data.copy_(other.data)
        own, _ = alone.differentiate(alone.batch(0))
        assert torch.allclose(own.total[0], losses.total[i], rtol=1e-5, atol=1e-7)
        for name, part in own.parts.items():
            assert torch.allclose(part[0], losses.parts[name][i], rtol=1e-5, atol=1e-7), name
        for (_, network), (_, joint) in zip(
            alone.optimizer.networks, together.optimizer.networks, strict=True
        ):
            scale = float(network.flat.gradients.abs().max())
            difference = (network.flat.gradients[0] - joint.flat.gradients[i]).abs().max()
            assert float(difference) <= 1e-5 * scale


def test_together_each_learns_what_it_learns_alone(tmp_path):
    together, alone = Curves(SEEDS), Curves(SEEDS)
    checkpoints = train_all(tmp_path / "together", monitors=together.monitors, steps=30)
    for seed, checkpoint in zip(SEEDS, checkpoints, strict=True):
        train_small(tmp_path / f"{seed}", seed=seed, monitor=alone.monitors[seed], steps=30)
        assert (checkpoint.seed, checkpoint.step) == (seed, 30)
        assert Checkpoint.load(tmp_path / "together" / str(seed)).step == 30
        assert np.allclose(together.losses[seed], alone.losses[seed], rtol=1e-3)


def test_seeds_learn_from_batches_of_their_own(tmp_path):
    tables = [c.tensors["policy.bias.table"] for c in train_all(tmp_path)]
    assert not torch.allclose(tables[0], tables[1]) and not torch.allclose(tables[1], tables[2])


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_stopped_and_called_again_it_ends_bitwise_where_it_would_have(tmp_path, ema):
    train_all(tmp_path / "a", steps=2, ema=ema)
    resumed = train_all(tmp_path / "a", steps=6, ema=ema)
    for one, other in zip(resumed, train_all(tmp_path / "b", steps=6, ema=ema), strict=True):
        assert one.tensors.keys() == other.tensors.keys()
        for name, tensor in one.tensors.items():
            assert torch.equal(tensor, other.tensors[name]), name


def test_seeds_that_are_not_equally_far_are_brought_to_the_end_too(tmp_path):
    train_all(tmp_path, (0,), steps=4)
    train_all(tmp_path, (3,), steps=2)
    ahead = Checkpoint.load(tmp_path / "0")
    finished = train_all(tmp_path, steps=4)
    assert [(c.seed, c.step) for c in finished] == [(seed, 4) for seed in SEEDS]
    assert all(torch.equal(t, ahead.tensors[name]) for name, t in finished[1].tensors.items())


@pytest.mark.parametrize(
    "changes", [{"use_vae": True}, {"dropout": 0.1}, {"cameras": ("overhead",)}]
)
def test_what_draws_or_looks_trains_one_seed_after_another(tmp_path, changes):
    policy, demos = small_act(**changes), make_demos(2, 2, camera=True)
    assert not policy.stackable
    together = train_all(tmp_path / "a", (0, 1), policy=policy, demos=demos, steps=2)
    for seed, checkpoint in enumerate(together):
        alone = train_small(tmp_path / f"{seed}", demos, policy=policy, seed=seed, steps=2)
        for name, tensor in checkpoint.tensors.items():
            assert name == "memory.embeddings" or torch.equal(tensor, alone.tensors[name]), name


def test_each_seed_logs_its_own_scalars(tmp_path):
    curves = Curves(SEEDS)
    train_all(tmp_path, monitors=curves.monitors, steps=3)
    assert all(len(curve) == 3 and np.isfinite(curve).all() for curve in curves.losses.values())
    assert len({curve[-1] for curve in curves.losses.values()}) == 3


def test_the_run_whose_loss_explodes_is_the_one_named(tmp_path):
    with pytest.raises(DivergedError, match="not finite at step 2"):
        train_all(tmp_path, learning_rate=1e30, save_every=1)
    assert [Checkpoint.load(tmp_path / str(seed)).step for seed in SEEDS] == [1, 1, 1]

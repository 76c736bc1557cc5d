import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from outtakes.data.batches import Sampler
from outtakes.data.demo import DemoSet
from outtakes.data.frames import load_cache, save_cache
from outtakes.errors import CheckpointError, ConfigError, DatasetError
from outtakes.policy.act.loss import LossConfig
from outtakes.policy.checkpoint import FILE, Checkpoint
from outtakes.ranking.attention.scoring import AttentionRanker
from outtakes.training.config import TrainConfig
from outtakes.training.trainer import DivergedError
from tests.demos import make_demos, small_act, train_small

ROWS = "rows.bias.table"
EVERYTHING_RANDOM = small_act(use_vae=True, dropout=0.1)
STEPS = 24
KILLS = (2, 7, 14)
TRAIN_IN_FORKS = f"""
import os, sys
from pathlib import Path
import torch._dynamo  # which the first optimiser step of each fork would import for seconds
from tests.demos import small_act, train_small

for _ in {KILLS}:
    child = os.fork()
    if not child:
        train_small(
            Path(sys.argv[1]),
            policy=small_act(use_vae=True, dropout=0.1),
            monitor=lambda step, _: print(os.getpid(), step, flush=True),
            steps={STEPS},
            save_every=1,
        )
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -9
"""


class Log:
    """Every scalar of every step."""

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.scalars: list[Mapping[str, float]] = []

    def __call__(self, step: int, scalars: Mapping[str, float]) -> None:
        self.steps.append(step)
        self.scalars.append(scalars)

    def of(self, name: str) -> np.ndarray:
        return np.array([scalars[name] for scalars in self.scalars])


def assert_same(a: Checkpoint, b: Checkpoint) -> None:
    assert a.tensors.keys() == b.tensors.keys()
    assert [n for n in a.tensors if not torch.equal(a.tensors[n], b.tensors[n])] == []
    assert a.step == b.step


def contents(run: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in run.iterdir()}


def by_outcome(successes: int = 4, failures: int = 4) -> DemoSet:
    """Only the outcome tells which of two constant actions is right."""
    demos = make_demos(successes, failures)
    sign = np.repeat(np.where(demos.successes, 1.0, -1.0), demos.lengths)[:, None]
    return replace(
        demos,
        state=np.zeros_like(demos.state),
        environment_state=np.zeros_like(demos.environment_state),
        action=(sign * [1.0, 2.0]).astype(np.float32),
    )


def learning_curve(run: Path, demos: DemoSet, condition, **changes) -> np.ndarray:
    log = Log()
    policy = small_act(
        condition=condition,
        decoder_layers=2,
        loss=LossConfig(kl_weight=0.01),
        pb_learning_rate=0.05,
    )
    train_small(run, demos, policy=policy, monitor=log, steps=80, batch_size=8, **changes)
    return log.of("loss/action_l1")


@pytest.mark.parametrize("condition", ["pb", "label"])
@pytest.mark.parametrize("balanced", [False, True])
def test_a_policy_that_is_told_demonstrations_apart_learns_to_act_like_both(
    tmp_path, condition, balanced
):
    demos = by_outcome(4, 4) if condition == "pb" else by_outcome(2, 6)
    curve = learning_curve(tmp_path, demos, condition, balanced=balanced)
    assert curve[:3].mean() > 0.7
    assert curve[-10:].mean() < 0.3


def test_a_policy_that_is_not_told_cannot(tmp_path):
    assert learning_curve(tmp_path, by_outcome(), "none")[-10:].mean() > 0.6


def test_killed_at_any_moment_and_called_again_it_ends_where_an_unbroken_run_ends(tmp_path):
    run = tmp_path / "killed"
    _train_and_kill(run)
    assert KILLS[-1] - 1 <= Checkpoint.load(run).step < STEPS
    log = Log()
    resumed = train_small(run, policy=EVERYTHING_RANDOM, monitor=log, steps=STEPS, save_every=1)
    assert log.steps[0] >= KILLS[-1]
    unbroken = train_small(tmp_path / "unbroken", policy=EVERYTHING_RANDOM, steps=STEPS)
    assert_same(resumed, unbroken)
    assert_same(Checkpoint.load(run), Checkpoint.load(tmp_path / "unbroken"))


def _train_and_kill(run: Path) -> None:
    """Kill the training process at each of `KILLS`; the next one takes the run up."""
    command = [sys.executable, "-c", TRAIN_IN_FORKS, str(run)]
    root = Path(__file__).parents[2]
    killed = set()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) as parent:
        assert parent.stdout is not None
        for kill in KILLS:
            process, step = 0, 0
            while process in {0, *killed} or step < kill:
                process, step = map(int, parent.stdout.readline().split())
            os.kill(process, signal.SIGKILL)
            killed.add(process)
    assert parent.returncode == 0


def test_two_steps_and_then_two_more_are_four(tmp_path):
    settings = {"policy": EVERYTHING_RANDOM, "schedule": "constant"}
    train_small(tmp_path / "two", steps=2, **settings)
    two_and_two = train_small(tmp_path / "two", steps=4, save_every=3, **settings)
    assert_same(two_and_two, train_small(tmp_path / "four", steps=4, **settings))


def test_a_run_that_ended_on_successes_alone_is_not_lengthened(tmp_path):
    settings = {"policy": EVERYTHING_RANDOM, "schedule": "constant", "finish": 1}
    train_small(tmp_path, steps=2, **settings)
    with pytest.raises(CheckpointError, match="another length"):
        train_small(tmp_path, steps=4, **settings)


def test_a_finished_run_is_not_trained_again(tmp_path):
    first = train_small(tmp_path)
    before, log = contents(tmp_path), Log()
    assert_same(train_small(tmp_path, monitor=log), first)
    assert log.steps == []
    assert contents(tmp_path) == before


def test_seeds_differ_and_one_seed_repeats_itself(tmp_path):
    first = train_small(tmp_path / "a", seed=1)
    assert_same(first, train_small(tmp_path / "b", seed=1))
    other = train_small(tmp_path / "c", seed=2)
    name = "policy.action.weight"
    assert not torch.equal(first.tensors[name], other.tensors[name])


def test_training_leaves_the_global_random_state_alone(tmp_path):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train_small(tmp_path, policy=EVERYTHING_RANDOM, steps=1)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"demos": make_demos(seed=1)}, "dataset"),
        ({"demos": make_demos().subset([0, 2, 4, 6])}, "episodes"),
        ({"demos": replace(make_demos(), successes=~make_demos().successes)}, "outcomes"),
        ({"seed": 1}, "seed"),
        ({"policy": small_act(feed_forward=32)}, "policy"),
        ({"policy": small_act(loss=LossConfig(kl_weight=0.2))}, "policy"),
        ({"policy": small_act(pb_learning_rate=0.1)}, "policy"),
        ({"batch_size": 3}, "batch"),
        ({"steps": 8}, "length"),
    ],
)
def test_a_run_of_something_else_is_refused_and_left_alone(tmp_path, changes, named):
    train_small(tmp_path, schedule="cosine")
    before = contents(tmp_path)
    with pytest.raises(CheckpointError, match=f"another .*{named}.*another --out") as error:
        train_small(tmp_path, **({"schedule": "cosine"} | changes))
    assert "\n" not in str(error.value)
    assert error.value.where == tmp_path
    assert contents(tmp_path) == before


def test_fewer_steps_than_were_taken_are_refused(tmp_path):
    train_small(tmp_path, steps=4)
    with pytest.raises(CheckpointError, match="taken 4 steps, 2 were asked for"):
        train_small(tmp_path, steps=2)


def test_a_damaged_checkpoint_is_not_trained_over(tmp_path):
    (tmp_path / FILE).write_bytes(b"garbage")
    with pytest.raises(CheckpointError, match="cannot read"):
        train_small(tmp_path)
    assert contents(tmp_path) == {FILE: b"garbage"}


def test_a_learning_rate_that_explodes_stops_the_run_and_keeps_its_checkpoint(tmp_path):
    with pytest.raises(DivergedError, match=r"not finite at step 2.*lower the learning rate"):
        train_small(tmp_path, learning_rate=1e30, save_every=1)
    before = contents(tmp_path)
    assert Checkpoint.load(tmp_path).step == 1
    with pytest.raises(DivergedError, match="at step 2"):
        train_small(tmp_path, learning_rate=1e30, save_every=1)
    assert contents(tmp_path) == before


def test_an_absurd_action_is_traced_to_its_episode_before_anything_moves(tmp_path):
    demos = make_demos()
    action = np.full_like(demos.action, -3e38)
    action[demos.starts[4] : demos.starts[5]] = 3e38
    visited = [int(Sampler(demos, seed=0, batch_size=1).draw(step).demo[0]) for step in range(6)]
    step = visited.index(4) + 1
    with pytest.raises(DivergedError, match=rf"at step {step}, .*episodes \[8\]") as error:
        train_small(tmp_path, replace(demos, action=action), batch_size=1, save_every=1, steps=20)
    assert error.value.episodes == [8]
    if step > 1:
        kept = Checkpoint.load(tmp_path)
        assert kept.step == step - 1
        assert all(t.isfinite().all() for t in kept.tensors.values() if t.is_floating_point())
    else:
        assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("kl_weight", [0.0, 0.1])
def test_only_the_rows_of_the_batch_move(tmp_path, kl_weight):
    demos = make_demos(4, 4)
    sampler = Sampler(demos, seed=0, batch_size=2)
    settings = {"policy": small_act(loss=LossConfig(kl_weight=kl_weight)), "batch_size": 2}
    before = train_small(tmp_path, demos, steps=1, **settings).tensors
    for step in range(1, 6):
        after = train_small(tmp_path, demos, steps=step + 1, **settings).tensors
        samples = sampler.draw(step)
        used = {*samples.demo, *(samples.other_demo if kl_weight else ())}
        for name in ("policy.bias.table", f"{ROWS}.first", f"{ROWS}.second"):
            moved = (after[name] != before[name]).flatten(1).any(dim=1).nonzero().flatten()
            # Between two rows that are still zero the divergence has no slope.
            assert set(samples.demo) <= set(moved.tolist()) <= used, name
        aged = after[f"{ROWS}.steps"] - before[f"{ROWS}.steps"]
        assert aged.tolist() == [float(i in used) for i in range(8)]
        before = after


def test_the_bias_learns_at_its_own_rate(tmp_path):
    moved = [
        train_small(tmp_path / str(rate), policy=small_act(pb_learning_rate=rate), steps=1)
        .tensors["policy.bias.table"]
        .abs()
        .max()
        for rate in (1e-3, 1e-1)
    ]
    assert moved[0] == pytest.approx(1e-3, rel=0.1)
    assert moved[1] == pytest.approx(1e-1, rel=0.1)


def test_the_divergence_term_drives_successes_and_failures_apart(tmp_path):
    distances = {}
    for weight in (0.0, 1.0):
        policy = small_act(loss=LossConfig(kl_weight=weight, kl_cap=5.0))
        log, out = Log(), tmp_path / str(weight)
        run = train_small(out, policy=policy, monitor=log, steps=40, batch_size=6)
        distances[weight] = AttentionRanker().score(run, make_demos()).values.mean()
        assert set(log.of("divergence/active")) == {float(weight > 0)}
    assert distances[1.0] > 5 * distances[0.0]
    assert log.of("divergence/d_sym_nats")[-5:].mean() > log.of("divergence/d_sym_nats")[0]


@pytest.mark.parametrize(("successes", "failures"), [(4, 0), (0, 4)])
def test_with_one_outcome_the_term_is_inactive_and_the_log_says_so(tmp_path, successes, failures):
    log = Log()
    demos = make_demos(successes, failures)
    policies = [small_act(loss=LossConfig(kl_weight=weight)) for weight in (1.0, 0.0)]
    with_term = train_small(tmp_path / "a", demos, policy=policies[0], monitor=log)
    assert set(log.of("divergence/active")) == {0.0}
    assert set(log.of("divergence/d_sym_nats")) == {0.0}
    assert_same(with_term, train_small(tmp_path / "b", demos, policy=policies[1]))


def test_the_log_comes_at_its_interval_and_at_the_end(tmp_path):
    log = Log()
    train_small(tmp_path, monitor=log, steps=7, log_every=3, warmup=2, schedule="cosine")
    assert log.steps == [3, 6, 7]
    assert all(np.isfinite(list(scalars.values())).all() for scalars in log.scalars)
    rates = log.of("learning_rate")
    assert rates[0] == pytest.approx(1e-2)
    assert rates[0] > rates[1] > rates[2] > 0


def test_images_are_trained_on_straight_from_the_frame_cache(tmp_path):
    demos = make_demos(1, 1, camera=True)
    save_cache(tmp_path / "cache", demos)
    settings = {"policy": small_act(cameras=("overhead",)), "steps": 2, "batch_size": 2}
    cached = train_small(tmp_path / "a", load_cache(tmp_path / "cache"), **settings)
    assert_same(cached, train_small(tmp_path / "b", demos, **settings))


def test_a_camera_the_dataset_lacks_is_named_before_anything_is_written(tmp_path):
    with pytest.raises(DatasetError, match="no camera 'wrist'; the dataset has none"):
        train_small(tmp_path / "run", policy=small_act(cameras=("wrist",)))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "bad",
    [
        {"steps": 0},
        {"batch_size": 0},
        {"save_every": 0},
        {"log_every": 0},
        {"learning_rate": 0.0},
        {"learning_rate": float("nan")},
        {"clip": 0.0},
        {"weight_decay": -1.0},
        {"warmup": -1},
        {"schedule": "linear"},
        {"ema": 1.0},
        {"ema": -0.1},
    ],
)
def test_settings_that_cannot_work_are_refused(bad):
    with pytest.raises(ConfigError, match=next(iter(bad))):
        TrainConfig(**bad)

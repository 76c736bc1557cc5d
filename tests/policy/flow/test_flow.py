"""The flow policy: its loss, its sampling, and what stacking and noise must not change."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from outtakes.data.batches import Batch
from outtakes.data.observation import Sizes
from outtakes.errors import ConfigError
from outtakes.evaluation.controller import ROWS, ChunkController, ControllerConfig
from outtakes.policy.checkpoint import Checkpoint
from outtakes.policy.flow.flow import FlowPolicy
from outtakes.policy.kinds import from_json, to_json
from outtakes.policy.policy import Steering
from outtakes.ranking.action_error import ActionErrorRanker
from outtakes.training.graphed import GraphedStep
from outtakes.training.learner import Learner
from outtakes.training.trainer import train_together
from tests.demos import make_demos, small_train, train_small
from tests.policy.flow.small import learner, seen, small_flow

SEEDS = (3, 0, 7)
NOBODY = Steering(None, np.full(2, -1))


def make_policy(**changes) -> FlowPolicy:
    torch.manual_seed(0)
    policy = small_flow(**changes).build(Sizes(4, 4, 3, 2))
    assert isinstance(policy, FlowPolicy)
    return policy.eval()


def batch_of(one: Learner) -> Batch:
    return one.batch(0)


def test_the_loss_is_the_equation_at_the_noise_drawn():
    one = learner(small_flow(), (0,))
    policy, batch = one.policies[0], batch_of(one)
    assert isinstance(policy, FlowPolicy)
    noise = policy.draw_noise(len(batch.action), torch.Generator().manual_seed(5))
    loss = policy.losses(replace(batch, noise=noise)).total
    start, time = noise["start"], noise["time"]
    memory, total, count = policy.encode(batch.observation), 0.0, 0
    for b in range(len(time)):
        mixed = (1 - time[b]) * start[b] + time[b] * batch.action[b]
        looked = policy.generator.look(replace(memory, tokens=memory.tokens[b : b + 1]))
        predicted = policy.generator(mixed[None], time[b : b + 1], looked)[0]
        for s in torch.nonzero(batch.valid[b]).flatten():
            wanted = batch.action[b, s] - start[b, s]
            total += float((predicted[s] - wanted).square().mean().detach())
            count += 1
    assert float(loss.detach()) == pytest.approx(total / count, rel=1e-5)
    own = policy.losses(batch, torch.Generator().manual_seed(5)).total
    assert torch.equal(own, loss)


def test_sampling_follows_the_generator_in_euler_steps_and_every_part_matters():
    policy, noise = make_policy(sampling_steps=3), torch.randn(2, 5, 2)
    with torch.no_grad():
        memory, x = policy.encode(seen()), noise
        looked = policy.generator.look(memory)
        for time in (0.0, 1 / 3, 2 / 3):
            x = x + policy.generator(x, torch.full((2,), time), looked) / 3
        assert torch.allclose(policy.sample(memory, noise), x, atol=1e-6)
        later = policy.generator(noise, torch.full((2,), 0.9), looked)
        assert not torch.allclose(later, policy.generator(noise, torch.zeros(2), looked))


def test_every_parameter_learns():
    policy = make_policy()
    policy.losses(batch_of(learner(small_flow(), (0,))), torch.Generator()).total.backward()
    # Keys are compared with each other, so that their constant term moves nothing.
    moved = {n for n, p in policy.named_parameters() if p.grad is not None and p.grad.abs().max()}
    names = {name for name, _ in policy.named_parameters() if not name.endswith("key.bias")}
    assert names <= moved


def test_it_learns_two_ways_of_doing_one_thing(tmp_path):
    """Where half the demonstrations go one way and half the other, it samples both and not their
    mean."""
    demos = make_demos(8, 8)
    sign = np.repeat(np.where(demos.successes, 1.0, -1.0), demos.lengths)[:, None]
    demos = replace(
        demos,
        state=np.zeros_like(demos.state),
        environment_state=np.zeros_like(demos.environment_state),
        action=(sign * [1.0, 2.0]).astype(np.float32),
    )
    run = train_small(
        tmp_path, demos, policy=small_flow(chunk=2), steps=200, batch_size=16, ema=0.9
    )
    agent, raw = (
        run.agent(),
        {
            "observation.state": np.zeros((64, 4), np.float32),
            "observation.environment_state": np.zeros((64, 3), np.float32),
        },
    )
    chunks = agent.predict(raw, agent.begin(raw), torch.Generator().manual_seed(0))
    first = chunks[:, 0, 0]
    assert (np.abs(first) > 0.5).mean() > 0.9
    assert 0.25 < (first > 0).mean() < 0.75


@pytest.mark.parametrize(
    ("changes", "seeds"),
    [({}, (0, 3)), ({"dropout": 0.2}, (0, 3)), ({"cameras": ("overhead",)}, (0,))],
)
def test_stopped_and_called_again_it_ends_bitwise_where_it_would_have(tmp_path, changes, seeds):
    demos, policy = make_demos(2, 2, camera=True), small_flow(**changes)

    def finished(name: str, steps: int) -> list[Checkpoint]:
        runs = {seed: tmp_path / name / str(seed) for seed in seeds}
        config = small_train(steps=steps, batch_size=2, ema=0.9)
        return train_together(demos, runs, policy=policy, config=config)

    finished("a", 1)
    for one, other in zip(finished("a", 2), finished("b", 2), strict=True):
        assert one.tensors.keys() == other.tensors.keys()
        assert all(torch.equal(t, other.tensors[name]) for name, t in one.tensors.items())


def test_losses_and_gradients_together_are_those_of_each_alone():
    assert small_flow().stackable and not small_flow(dropout=0.1).stackable
    together = learner(small_flow(), SEEDS)
    losses, _ = together.differentiate(together.batch(0))
    for i, seed in enumerate(SEEDS):
        alone = learner(small_flow(), (seed,))
        own, _ = alone.differentiate(alone.batch(0))
        assert torch.allclose(own.total[0], losses.total[i], rtol=1e-5)
        mine = alone.optimizer.networks[0][1].flat.gradients[0]
        joint = together.optimizer.networks[0][1].flat.gradients[i]
        assert float((mine - joint).abs().max()) <= 1e-5 * float(mine.abs().max())


@pytest.mark.parametrize("seeds", [(3,), (3, 5)])
def test_as_one_program_it_takes_the_steps_of_the_ordinary_form(seeds):
    ordinary, graphed = learner(small_flow(), seeds), learner(small_flow(), seeds)
    take_step = GraphedStep(graphed, capture=False)
    for _ in range(3):
        expected, _ = ordinary.advance()
        assert torch.equal(take_step()[0].total, expected.total)


def test_its_noise_depends_on_seed_state_and_step_and_not_on_who_runs_beside(tmp_path):
    agent = train_small(tmp_path, policy=small_flow(), steps=1).agent()
    observations = {
        "observation.state": np.zeros((ROWS, 4), np.float32),
        "observation.environment_state": np.zeros((ROWS, 3), np.float32),
    }

    def acts(slots: list[int], noise: tuple[int, int], step: int = 0) -> np.ndarray:
        controller = ChunkController(agent, ControllerConfig(replan=1), np.array(slots), noise)
        raw = {name: array[slots] for name, array in observations.items()}
        return [controller.act(at, raw) for at in range(step + 1)][-1]

    together = acts(list(range(ROWS)), (0, 0))
    assert len(np.unique(together[:, 0])) == ROWS
    for slot in (0, 7, 24):
        assert np.array_equal(acts([slot], (0, 0))[0], together[slot])
    others = [acts([7], (1, 0)), acts([7], (0, 1)), acts([7], (0, 0), step=1)]
    assert not any(np.allclose(other, together[7]) for other in others)


def test_its_errors_are_the_root_of_the_loss_and_rank_failures(tmp_path):
    policy, action = make_policy(), torch.randn(2, 5, 2, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        errors = policy.errors(seen(), action, NOBODY)
        assert torch.equal(errors, policy.errors(seen(), action, NOBODY))
        memory, fixed = policy.encode(seen()), torch.Generator().manual_seed(0)
        looked, squares = policy.generator.look(memory), torch.zeros(2, 5, 2)
        for i, noise in enumerate(torch.randn((8, 5, 2), generator=fixed)):
            time = torch.full((2,), (i + 0.5) / 8)
            mixed = (1 - time[:, None, None]) * noise + time[:, None, None] * action
            squares += (policy.generator(mixed, time, looked) - (action - noise)).square()
    assert torch.allclose(errors.square(), squares / 8, atol=1e-5)
    demos = make_demos(4, 4)
    successes = demos.subset(demos.episode_indices[demos.successes].tolist())
    run = train_small(tmp_path, successes, policy=small_flow(), steps=2)
    scores = ActionErrorRanker().score(run, demos)
    assert np.isfinite(scores.values).all() and len(scores.values) == 4


def test_its_settings_come_back_from_json_and_bad_ones_are_refused():
    config = small_flow(sampling_steps=4)
    assert from_json(to_json(config)) == config
    with pytest.raises(ConfigError, match="sampling_steps 0"):
        small_flow(sampling_steps=0)
    with pytest.raises(ConfigError, match="nothing to observe"):
        small_flow().build(Sizes(4, 0, 0, 2))

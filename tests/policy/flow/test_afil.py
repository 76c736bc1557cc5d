"""Two generators: what each learns from, that the encoder is shared and still, and the guidance."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from outtakes.data.batches import Batch
from outtakes.data.observation import Sizes
from outtakes.errors import CheckpointError, ConfigError, DatasetError, UnknownName
from outtakes.policy.checkpoint import Checkpoint
from outtakes.policy.flow.afil import AfilPolicy
from outtakes.policy.flow.flow import FlowPolicy
from outtakes.policy.flow.guidance import Guidance, guided
from outtakes.policy.kinds import from_json, to_json
from outtakes.training.learner import Learner
from outtakes.training.trainer import train_together
from tests.demos import make_demos, small_act, small_train, train_small
from tests.policy.flow.small import learner, seen, small_afil, small_flow

SEEDS = (3, 0)


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Checkpoint]:
    """A flow policy of each seed, trained on everything."""
    out = tmp_path_factory.mktemp("flow")
    runs = {seed: out / str(seed) for seed in SEEDS}
    config = small_train(ema=0.5)
    made = train_together(make_demos(), runs, policy=small_flow(), config=config)
    return dict(zip(SEEDS, made, strict=True))


def afil_of(one: Learner) -> AfilPolicy:
    policy = one.policies[0]
    assert isinstance(policy, AfilPolicy)
    return policy


def finished(out: Path, bases: dict[int, Checkpoint], steps: int) -> list[Checkpoint]:
    return train_together(
        make_demos(),
        {seed: out / str(seed) for seed in SEEDS},
        policy=small_afil(),
        config=small_train(steps=steps, balanced=True, ema=0.5),
        start=bases,
    )


def test_guidance_is_its_equation():
    one, other = torch.randn(3, 5, 2), torch.randn(3, 5, 2)
    weights = Guidance("adaptive", 0.7).weights(one, other)
    for row in range(3):
        a, b = one[row].flatten(), other[row].flatten()
        expected = 0.7 * (1 - float(a @ b / (a.norm() * b.norm())))
        assert float(weights[row]) == pytest.approx(expected, rel=1e-4)
    found = guided(one, other, weights)
    assert torch.allclose(found, one + weights[:, None, None] * (one - other), atol=1e-6)
    assert Guidance("constant", 0.7).weights(one, other).tolist() == [pytest.approx(0.7)] * 3
    assert float(Guidance().weights(one, 3 * one).abs().max()) < 1e-6


def test_without_guidance_it_is_bit_for_bit_the_generator_of_successes(bases, tmp_path):
    run = finished(tmp_path, bases, 2)[0]
    policy = run.policy().eval()
    plain = small_flow().build(run.sizes).eval()
    assert isinstance(policy, AfilPolicy) and isinstance(plain, FlowPolicy)
    own = {n: t for n, t in policy.state_dict().items() if not n.startswith("avoided.")}
    plain.load_state_dict(own)
    noise = torch.Generator()
    with torch.no_grad():
        chunks = {
            name: policy.act(seen(), policy.begin(seen(), name), noise.manual_seed(5))
            for name in ("adaptive-0", "constant-0", "adaptive-2", "constant-2")
        }
        alone = plain.act(seen(), plain.begin(seen()), noise.manual_seed(5))
    assert torch.equal(chunks["adaptive-0"], alone) and torch.equal(chunks["constant-0"], alone)
    for name in ("adaptive-2", "constant-2"):
        assert not torch.allclose(chunks[name], alone, atol=1e-4)


def test_sampling_is_guided_at_every_step_by_the_weight_it_tells():
    torch.manual_seed(0)
    policy = small_afil(sampling_steps=2).build(Sizes(4, 4, 3, 2)).eval()
    torch.nn.init.normal_(policy.avoided.velocity.weight)
    noise = torch.randn(2, 5, 2)
    with torch.no_grad():
        memory = policy.encode(seen())
        found, weights = policy.sample_guided(memory, noise, Guidance("adaptive", 1.5))
        toward, away, x = policy.generator.look(memory), policy.avoided.look(memory), noise
        for step in range(2):
            time = torch.full((2,), step / 2)
            one, other = policy.generator(x, time, toward), policy.avoided(x, time, away)
            cosine = torch.cosine_similarity(one.flatten(1), other.flatten(1))
            assert torch.allclose(weights[:, step], 1.5 * (1 - cosine), atol=1e-6)
            x = x + (one + weights[:, step, None, None] * (one - other)) / 2
    assert torch.allclose(found, x, atol=1e-5)
    assert float(weights.min()) > 0.1


def test_both_start_as_the_generator_that_acts_and_the_encoder_stays(bases, tmp_path):
    before = learner(small_afil(), SEEDS[:1], [bases[SEEDS[0]]])
    weights = bases[SEEDS[0]].weights()
    for name, tensor in afil_of(before).state_dict().items():
        origin = name.replace("avoided.", "generator.")
        assert torch.equal(tensor, weights[origin]), name
    assert torch.equal(before.normalizer.action.mean, bases[SEEDS[0]].normalizer().action.mean)
    for seed, run in zip(SEEDS, finished(tmp_path, bases, 3), strict=True):
        weights, after = bases[seed].weights(), run.weights()
        changed = {n for n, t in after.items() if not torch.equal(t, weights.get(n, t[:0]))}
        assert {name.split(".")[0] for name in changed} == {"generator", "avoided"}
        assert any(
            not torch.equal(after[n], after[n.replace("generator.", "avoided.")])
            for n in after
            if n.startswith("generator.")
        )


@pytest.mark.parametrize("avoid", ["failures", "successes"])
def test_each_generator_learns_from_its_own_outcome_alone(bases, avoid):
    one = learner(small_afil(avoid=avoid), (0,), [bases[0]], balanced=True)
    policy, batch = afil_of(one), one.batch(0)
    assert sorted(batch.success.tolist()) == [False, False, True, True]
    generator = torch.Generator()

    def parts(changed: Batch) -> tuple[float, float]:
        found = policy.losses(changed, generator.manual_seed(1)).parts
        return float(found["loss/flow"].detach()), float(found["loss/flow_avoided"].detach())

    own, avoided = parts(batch)
    other = batch.action + 5 * (~batch.success)[:, None, None]
    same, moved = parts(replace(batch, action=other))
    assert same == own
    assert (moved == avoided) == (avoid == "successes")
    if avoid == "successes":
        everyone = replace(batch, success=torch.ones_like(batch.success))
        assert all(value > 0 for value in parts(everyone))


def test_losses_and_gradients_together_are_those_of_each_alone(bases):
    starts = [bases[seed] for seed in SEEDS]
    together = learner(small_afil(), SEEDS, starts, balanced=True)
    losses, _ = together.differentiate(together.batch(0))
    for i, seed in enumerate(SEEDS):
        alone = learner(small_afil(), (seed,), [bases[seed]], balanced=True)
        own, _ = alone.differentiate(alone.batch(0))
        assert torch.allclose(own.total[0], losses.total[i], rtol=1e-5)
        mine = alone.optimizer.networks[0][1].flat.gradients[0]
        joint = together.optimizer.networks[0][1].flat.gradients[i]
        assert float((mine - joint).abs().max()) <= 1e-5 * float(mine.abs().max())


def test_it_resumes_bitwise_and_from_no_other_start(bases, tmp_path):
    finished(tmp_path / "a", bases, 1)
    for one, other in zip(
        finished(tmp_path / "a", bases, 3), finished(tmp_path / "b", bases, 3), strict=True
    ):
        assert all(torch.equal(t, other.tensors[name]) for name, t in one.tensors.items())
    with pytest.raises(CheckpointError, match=r"another .*start of training"):
        finished(tmp_path / "a", {3: bases[0], 0: bases[3]}, 3)


def test_what_cannot_work_is_refused_in_one_line(bases, tmp_path):
    successes = make_demos(4, 0)
    with pytest.raises(DatasetError, match="no failure to learn from"):
        train_small(tmp_path / "a", successes, policy=small_afil())
    small_afil(avoid="successes").check_outcomes(successes=4, failures=0)
    act = train_small(tmp_path / "c", policy=small_act(), steps=1)
    with pytest.raises(CheckpointError, match="weights that are not those of 'afil'"):
        learner(small_afil(), (0,), [act])
    with pytest.raises(CheckpointError, match="weights that are not those of 'afil'"):
        learner(small_afil(width=32), (0,), [bases[0]])
    for alpha in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match="alpha"):
            Guidance(alpha=alpha)
    with pytest.raises(ConfigError, match="alpha -1"):
        small_afil().check_steering("adaptive--1")
    with pytest.raises(UnknownName, match="adaptive-<number>"):
        small_afil().check_steering("strong")


def test_guidance_may_be_chosen_for_each_evaluation(bases):
    config = small_afil(guidance=Guidance("constant", 0.25))
    assert from_json(to_json(config)) == config
    assert config.steering("adaptive-0.5") == "adaptive-0.5"
    assert config.steering("mean") == config.steering("") == "constant-0.25"
    policy = config.build(Sizes(4, 4, 3, 2))
    default, chosen = policy.begin(seen()), policy.begin(seen(), "adaptive-0.5")
    assert default.condition is not None and chosen.condition is not None
    assert default.condition.tolist() == [[1.0, 0.25]] * 2
    assert chosen.condition.tolist() == [[0.0, 0.5]] * 2
    assert chosen.episodes.tolist() == [-1, -1]


def test_the_other_generator_tells_how_it_predicts_failures(bases):
    policy = afil_of(learner(small_afil(), (0,), [bases[0]]))
    action = torch.randn(2, 5, 2)
    with torch.no_grad():
        own = policy.errors(seen(), action, policy.begin(seen()))
        assert torch.equal(policy.avoided_errors(seen(), action), own)
        torch.nn.init.zeros_(policy.avoided.velocity.weight)
        assert not torch.equal(policy.avoided_errors(seen(), action), own)
    assert np.isfinite(own.numpy()).all()

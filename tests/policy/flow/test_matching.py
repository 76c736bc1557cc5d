"""Flow matching beside its equations, on fields whose integrals are known."""

from __future__ import annotations

import pytest
import torch

from outtakes.policy.flow.matching import integrate, interpolate, squared_error, velocity


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def test_the_line_runs_from_noise_to_action_at_the_velocity_that_is_learned():
    noise, action = normal(3, 4, 2), normal(3, 4, 2, seed=1)
    assert torch.equal(interpolate(noise, action, torch.zeros(3)), noise)
    assert torch.equal(interpolate(noise, action, torch.ones(3)), action)
    time = torch.tensor([0.1, 0.5, 0.8], dtype=torch.float64)
    step = interpolate(noise, action, time + 1e-3) - interpolate(noise, action, time)
    assert torch.allclose(step / 1e-3, velocity(noise, action))


@pytest.mark.parametrize("steps", [1, 2, 8, 13])
def test_noise_is_carried_to_the_one_chunk_there_is_in_any_number_of_steps(steps):
    """With one chunk a in the data, E[a − ε | x_τ] = (a − x) / (1 − τ): its lines are straight."""
    chunk, noise = normal(4, 2), normal(5, 4, 2, seed=1)
    found = integrate(lambda x, time: (chunk - x) / (1 - time), noise, steps)
    assert torch.allclose(found, chunk.expand_as(found), atol=1e-12)


def test_a_normal_distribution_is_carried_to_another():
    """For actions ~ N(m, s²) the field is linear in x, and the limit of ever shorter steps carries
    ε to m + s ε."""
    mean, scale, noise = 0.7, 0.4, normal(6, 4, 2)

    def field(x: torch.Tensor, time: float) -> torch.Tensor:
        variance = (1 - time) ** 2 + (time * scale) ** 2
        shrink = (time * scale**2 - (1 - time)) / variance
        return mean + shrink * (x - time * mean)

    errors = [
        float((integrate(field, noise, steps) - (mean + scale * noise)).abs().max())
        for steps in (8, 16, 512)
    ]
    assert errors[2] < 5e-3
    assert errors[1] == pytest.approx(errors[0] / 2, rel=0.3)


def test_the_loss_is_the_mean_over_valid_steps_and_dimensions():
    predicted, target = normal(2, 3, 2), normal(2, 3, 2, seed=1)
    valid = torch.tensor([[True, True, False], [True, False, False]])
    squares = [
        float((predicted[b, s, d] - target[b, s, d]) ** 2)
        for b, s in ((0, 0), (0, 1), (1, 0))
        for d in range(2)
    ]
    assert float(squared_error(predicted, target, valid)) == pytest.approx(sum(squares) / 6)
    target[~valid] = 1e9
    assert float(squared_error(predicted, target, valid)) == pytest.approx(sum(squares) / 6)

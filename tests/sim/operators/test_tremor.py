"""The unsteadiness of a hand."""

from __future__ import annotations

import numpy as np

from outtakes.sim.operators.personality import Personality
from outtakes.sim.operators.tremor import ARM_AXES, Tremor


def test_tremor_is_as_strong_and_as_correlated_as_the_personality_says():
    personality = Personality(tremor=0.1, tremor_memory=0.9)
    tremor = Tremor(personality, ARM_AXES, np.random.default_rng(0))
    noise = np.array([tremor.step() for _ in range(4000)])  # (4000, 6)
    np.testing.assert_allclose(noise.std(axis=0), 0.1 * np.array(ARM_AXES), rtol=0.15)
    lag = [np.corrcoef(axis[:-1], axis[1:])[0, 1] for axis in noise.T]
    np.testing.assert_allclose(lag, 0.9, atol=0.03)


def test_a_steady_hand_does_not_tremble():
    tremor = Tremor(Personality(tremor=0.0), ARM_AXES, np.random.default_rng(0))
    assert not tremor.step().any()

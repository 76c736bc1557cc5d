"""Mistakes: how often each kind is drawn, and what a size is worth."""

from __future__ import annotations

import numpy as np
import pytest

from outtakes.errors import ConfigError
from outtakes.sim.operators.mistake import (
    Mistake,
    MistakeKind,
    draw_mistake,
    make_mistake,
    offset_of,
    size_of,
)

KINDS = {"aside": MistakeKind(0.2, frequency=3.0), "slip": MistakeKind(8.0, "control steps")}


def test_kinds_are_drawn_as_often_as_their_frequencies_say():
    rng = np.random.default_rng(0)
    kinds = [draw_mistake(rng, KINDS).kind for _ in range(2000)]
    assert kinds.count("aside") / len(kinds) == pytest.approx(0.75, abs=0.03)


def test_a_draw_takes_as_many_numbers_from_the_generator_as_it_always_did():
    equal = {name: MistakeKind(1.0) for name in "abc"}
    for kinds, first in ((equal, lambda rng: rng.integers(3)), (KINDS, lambda rng: rng.random())):
        ours, plain = np.random.default_rng(5), np.random.default_rng(5)
        draw_mistake(ours, kinds)
        first(plain)
        plain.uniform(size=2)
        assert ours.random() == plain.random()


def test_a_share_is_of_the_largest_and_has_the_units_of_its_kind():
    slip = make_mistake(KINDS, "slip", 0.5)
    assert slip == Mistake("slip", 4.0, 8.0, "control steps")
    assert slip.share == 0.5
    with pytest.raises(ConfigError, match="slip of size 9"):
        Mistake("slip", 9.0, 8.0)


def test_size_and_offset_are_of_one_kind_alone():
    aside = make_mistake(KINDS, "aside", 1.0, direction=np.pi / 2)
    assert (size_of(aside, "aside"), size_of(aside, "slip"), size_of(None, "aside")) == (0.2, 0, 0)
    np.testing.assert_allclose(offset_of(aside, "aside"), [0.0, 0.2, 0.0], atol=1e-12)
    assert not offset_of(aside, "slip").any() and not offset_of(None, "aside").any()

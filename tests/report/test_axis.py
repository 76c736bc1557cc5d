from __future__ import annotations

import pytest

from outtakes.report.axis import equal_axes, fit_axis, fitting_aspect, rank_axis


def test_places_values_in_per_cent() -> None:
    axis = fit_axis("x", [0.0, 10.0], margin=0.0)
    assert [axis.place(v) for v in (0.0, 2.5, 10.0)] == [0.0, 25.0, 100.0]


@pytest.mark.parametrize(
    ("values", "scale", "labels"),
    [
        ([0.0, 10.0], 1.0, ["0", "2", "4", "6", "8", "10"]),
        ([0.6, 0.8], 100.0, ["60", "65", "70", "75", "80"]),
        ([-1.0, 1.0], 1.0, ["−1.0", "−0.5", "0.0", "0.5", "1.0"]),
        ([0.0, 0.00012], 1.0, ["0.000000", "0.000025", "0.000050", "0.000075", "0.000100"]),
        ([1000.0, 2250.0], 1.0, ["1000", "1250", "1500", "1750", "2000", "2250"]),
    ],
)
def test_ticks_are_round_and_as_precise_as_needed(
    values: list[float], scale: float, labels: list[str]
) -> None:
    axis = fit_axis("x", values, margin=0.0, scale=scale)
    assert [tick.label for tick in axis.ticks] == labels


@pytest.mark.parametrize("value", [0.0, 3.0, -2.0, 1e-9])
def test_one_value_stands_in_the_middle(value: float) -> None:
    assert fit_axis("x", [value]).place(value) == pytest.approx(50.0)


def test_a_share_stays_between_0_and_1() -> None:
    axis = fit_axis("x", [0.0, 1.0], floor=0.0, ceiling=1.0)
    assert (axis.low, axis.high) == (0.0, 1.0)


def test_a_unit_is_equally_long_on_equal_axes() -> None:
    x, y = equal_axes("x", "y", [0.0, 1.0], [0.0, 10.0], aspect=2.0)
    assert (x.high - x.low) / (y.high - y.low) == pytest.approx(2.0)
    assert 0 <= x.place(0.0) < x.place(1.0) <= 100
    assert 0 <= y.place(0.0) < y.place(10.0) <= 100


def test_aspect_follows_the_points_within_limits() -> None:
    assert fitting_aspect([0, 3], [0, 3]) == 1.0
    assert fitting_aspect([0, 1], [0, 9]) == 0.75
    assert fitting_aspect([0, 1], [2, 2]) == 1.75


def test_ranks_are_whole_numbers_from_1() -> None:
    assert [tick.label for tick in rank_axis("rank", 4).ticks] == ["1", "2", "3", "4"]
    labels = [int(tick.label) for tick in rank_axis("rank", 50).ticks]
    assert labels[0] == 1 and labels[-1] == 50 and len(labels) <= 13

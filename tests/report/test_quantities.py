from __future__ import annotations

import pytest

from outtakes.report.quantities import ordinal, percentage, probability, sentence, significant


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (1.464, "1.46"), (-0.03214, "−0.0321"), (123.4, "123"), (3.2e-9, "3.20e−09")],
)
def test_significant_digits(value: float, text: str) -> None:
    assert significant(value) == text


def test_percentages_and_probabilities() -> None:
    assert percentage(0.7126) == "71.3"
    assert percentage(-0.04) == "−4.0"
    assert [probability(p) for p in (0.0, 0.0181, 0.314, 1.0)] == [
        "< 0.001",
        "0.018",
        "0.31",
        "1.00",
    ]


@pytest.mark.parametrize(
    ("n", "text"),
    [
        (1, "1st"),
        (2, "2nd"),
        (3, "3rd"),
        (4, "4th"),
        (11, "11th"),
        (12, "12th"),
        (21, "21st"),
        (112, "112th"),
    ],
)
def test_ordinals(n: int, text: str) -> None:
    assert ordinal(n) == text


def test_a_sentence_keeps_its_other_capitals() -> None:
    assert sentence("error of ACT") == "Error of ACT"
    assert sentence("") == ""

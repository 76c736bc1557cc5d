"""Errors that tell people what is wrong, where, and the way out."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from outtakes.errors import DatasetError, OuttakesError, UnknownName
from outtakes.training.trainer import DivergedError


def test_an_error_says_what_where_and_the_way_out() -> None:
    error = DatasetError("no labels", where=Path("/data/lift"), remedy="add some")
    assert str(error) == "no labels (/data/lift): add some"


def test_a_close_name_is_suggested() -> None:
    assert "did you mean 'quick'? choose one of paper, quick" in str(
        UnknownName("recipe", "quik", ["quick", "paper"])
    )
    assert "did you mean" not in str(UnknownName("recipe", "zzz", ["quick", "paper"]))


def test_of_many_valid_names_only_those_alike_are_listed() -> None:
    valid = ["push-puck", *(3 * letter for letter in "abcdefghijklmnopqrstuvwxyz")]
    line = str(UnknownName("task", "push-pack", valid))
    assert line.endswith("did you mean 'push-puck'? choose one of 27, such as push-puck")


@pytest.mark.parametrize(
    "error",
    [
        DatasetError("no labels", where="lift", remedy="add some"),
        UnknownName("recipe", "quik", ["quick"]),
        DivergedError(Path("run"), 3, [1, 2]),
    ],
)
def test_errors_travel_between_processes(error: OuttakesError) -> None:
    received = pickle.loads(pickle.dumps(error))
    assert type(received) is type(error)
    assert str(received) == str(error)
    assert vars(received) == vars(error)

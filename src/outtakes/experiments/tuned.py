"""Training lengths that were tuned beforehand, as `outtakes study budgets` left them."""

from __future__ import annotations

from importlib.resources import as_file, files

from outtakes.evaluation.learning_curves import Budgets
from outtakes.experiments.recipes import QUICK, Recipe

_FOLDER = "tuned"


def tuned_budgets(recipe: Recipe, successes: int) -> Budgets | None:
    """Budgets of the recipe's task beside so many successes; None where none were tuned.

    They hold for the quick recipe as it is: other policies and rates need other lengths.
    """
    if (recipe.policy, recipe.train) != (QUICK.policy, QUICK.train):
        return None
    own = files("outtakes.experiments") / _FOLDER / f"{recipe.collect.environment}-{successes}.json"
    if not own.is_file():
        return None
    with as_file(own) as path:
        return Budgets.load(path)

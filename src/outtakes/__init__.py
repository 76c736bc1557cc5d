"""Failed robot demonstrations, put to work: which to keep, proved by retraining and rolling out.

    import outtakes

    demos = outtakes.load("PATH/TO/DATASET")
    runs = outtakes.train(demos, "all")
    scores = outtakes.rank(runs, demos)
    selection = outtakes.select(scores, keep="low", count=10)

Every name below is imported when it is first used. See docs/tutorial.md.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from outtakes.api import (
        Recipe,
        collect,
        compare,
        evaluate,
        load,
        rank,
        recipe,
        select,
        train,
        triage,
        write_report,
    )
    from outtakes.data.demo import DemoSet
    from outtakes.data.reading import Reading
    from outtakes.evaluation.comparison import Comparison
    from outtakes.evaluation.recommendation import Recommendation
    from outtakes.evaluation.rollouts import RolloutLog
    from outtakes.policy.checkpoint import Checkpoint
    from outtakes.ranking.scores import Scores
    from outtakes.selection.select import Selection

__all__ = [
    "Checkpoint",
    "Comparison",
    "DemoSet",
    "Reading",
    "Recipe",
    "Recommendation",
    "RolloutLog",
    "Scores",
    "Selection",
    "collect",
    "compare",
    "evaluate",
    "load",
    "rank",
    "recipe",
    "select",
    "train",
    "triage",
    "write_report",
]

_HOMES = {
    "Checkpoint": "policy.checkpoint",
    "Comparison": "evaluation.comparison",
    "DemoSet": "data.demo",
    "Reading": "data.reading",
    "Recommendation": "evaluation.recommendation",
    "RolloutLog": "evaluation.rollouts",
    "Scores": "ranking.scores",
    "Selection": "selection.select",
}
"""Where a name is defined, when it is not in `outtakes.api`."""


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'outtakes' has no attribute {name!r}")
    home = import_module(f"outtakes.{_HOMES.get(name, 'api')}")
    return getattr(home, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

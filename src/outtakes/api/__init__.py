"""The pipeline from Python: what the verbs of the command line do, step by step or in one go.

Nothing is shown unless a `progress` is given, which is called with (done, total, what).
"""

from outtakes.api.in_folder import (
    Triaged,
    afil,
    demo,
    laboratory,
    prepare,
    prepare_task,
    ranker_for,
    report,
    run_study,
    train_prepared,
    triage,
    triage_prepared,
    work_of_demo,
    work_of_triage,
)
from outtakes.api.in_memory import (
    collect,
    compare,
    evaluate,
    load,
    rank,
    select,
    train,
    write_report,
)
from outtakes.experiments.datasets import Prepared
from outtakes.experiments.guided_rounds import AfilPlan
from outtakes.experiments.lab import Lab
from outtakes.experiments.pipeline import check_policy
from outtakes.experiments.recipes import Recipe, recipe
from outtakes.experiments.run_folders import Evaluated, evaluate_runs, evaluate_until_clear
from outtakes.experiments.study import StudyPlan
from outtakes.ranking.combination import chosen_rankers, needs_runs
from outtakes.selection.made_for import load_scores, load_selection

__all__ = [
    "AfilPlan",
    "Evaluated",
    "Lab",
    "Prepared",
    "Recipe",
    "StudyPlan",
    "Triaged",
    "afil",
    "check_policy",
    "chosen_rankers",
    "collect",
    "compare",
    "demo",
    "evaluate",
    "evaluate_runs",
    "evaluate_until_clear",
    "laboratory",
    "load",
    "load_scores",
    "load_selection",
    "needs_runs",
    "prepare",
    "prepare_task",
    "rank",
    "ranker_for",
    "recipe",
    "report",
    "run_study",
    "select",
    "train",
    "train_prepared",
    "triage",
    "triage_prepared",
    "work_of_demo",
    "work_of_triage",
    "write_report",
]

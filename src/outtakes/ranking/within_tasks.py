"""Ranking within tasks: a failure is compared with the successes of its own task, and no others.

Every ranker is asked once for each task, about that task's demonstrations alone, so none of them
knows that there are several.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from outtakes.data.demo import DemoSet, Outcome
from outtakes.errors import DatasetError
from outtakes.ranking.ranker import RunScores


def comparable(demos: DemoSet) -> list[DemoSet]:
    """The demonstrations of each task that has successes and failures.

    Raises:
        DatasetError: when there are several tasks, and none that has both.
    """
    tasks = demos.by_task()
    if len(tasks) == 1:
        return [demos]
    both = [own for own in tasks.values() if all(map(own.episodes, Outcome))]
    if not both:
        raise DatasetError(
            f"none of its {len(tasks)} tasks has both successes and failures",
            where=demos.name,
            remedy="a failure is compared with successes of its own task; record some, or take all "
            "episodes for one task with --one-task",
        )
    return both


def unranked(demos: DemoSet) -> tuple[int, ...]:
    """Episode indices of failures that cannot be compared: their task has no success."""
    tasks = demos.by_task()
    if len(tasks) == 1:
        return ()
    alone = [own for own in tasks.values() if not own.episodes(Outcome.SUCCESS)]
    return tuple(sorted(e for own in alone for e in own.episodes(Outcome.FAILURE)))


def join(of_tasks: Sequence[RunScores]) -> RunScores:
    """What one run says about the failures of several tasks; distances to other tasks' successes
    are not known.

    Its plane is dropped: each task has its own.
    """
    if len(of_tasks) == 1:
        return of_tasks[0]
    failures = np.concatenate([own.failures for own in of_tasks])
    order = np.argsort(failures)
    curves = [curve for own in of_tasks for curve in own.over_time]
    errors = [own.standard_errors for own in of_tasks if own.standard_errors is not None]
    return RunScores(
        seed=of_tasks[0].seed,
        failures=tuple(failures[order].tolist()),
        successes=tuple(episode for own in of_tasks for episode in own.successes),
        values=np.concatenate([own.values for own in of_tasks])[order],
        standard_errors=np.concatenate(errors)[order] if errors else None,
        distances=_distances(of_tasks, order),
        over_time=[curves[i] for i in order] if curves else (),
    )


def _distances(of_tasks: Sequence[RunScores], order: np.ndarray) -> np.ndarray | None:
    known = [own.distances for own in of_tasks if own.distances is not None]
    if not known:
        return None
    shape = (sum(len(d) for d in known), sum(d.shape[1] for d in known))
    whole, row, column = np.full(shape, np.nan, dtype=np.float32), 0, 0
    for distances in known:
        rows, columns = distances.shape
        whole[row : row + rows, column : column + columns] = distances
        row, column = row + rows, column + columns
    return whole[order]

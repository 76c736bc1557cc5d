"""Selections and rankings, held to the dataset that they are used with."""

from __future__ import annotations

from outtakes.data.demo import DemoSet, Outcome
from outtakes.errors import ArtifactError
from outtakes.files import Location
from outtakes.ranking.scores import Scores
from outtakes.selection.select import Selection


def load_selection(path: Location, demos: DemoSet) -> Selection:
    """Read a selection and check that it is of this dataset.

    Raises:
        ArtifactError: when it is of another dataset.
    """
    selection = Selection.load(path)
    check_made_for(demos, selection, path)
    return selection


def load_scores(path: Location, demos: DemoSet) -> Scores:
    """Read scores and check that they are of this dataset.

    Raises:
        ArtifactError: when they are of another dataset.
    """
    scores = Scores.load(path)
    check_made_for(demos, scores, path)
    return scores


def check_made_for(demos: DemoSet, made: Selection | Scores, where: Location | None = None) -> None:
    """Refuse a selection or ranking of another dataset, or of other outcomes of this one.

    Raises:
        ArtifactError: when it is.
    """
    what = "selection" if isinstance(made, Selection) else "ranking"
    if made.content_hash != demos.content_hash:
        raise ArtifactError(
            f"the {what} was made for other data ({made.dataset})",
            where=where,
            remedy="select again from scores of this dataset as it is now",
        )
    told = dict(zip(demos.episode_indices.tolist(), demos.successes.tolist(), strict=True))
    for episode, success in made.outcomes.items():
        if told.get(episode, success) != success:
            raise ArtifactError(
                f"episode {episode} was a {Outcome.of(success)} when the {what} was made, and is a "
                f"{Outcome.of(told[episode])} now",
                where=where,
                remedy="rank and select again, or give the --labels or --outcome-from of then",
            )

"""From content to `report.html`: one file that opens from disk and asks the network for nothing."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined

from outtakes.errors import ArtifactError
from outtakes.files import write_atomically
from outtakes.report.cards import Link, Video, card_views, video_view
from outtakes.report.content import FailureCard, ReportContent, RolloutVideo, TaskCounts
from outtakes.report.figures import (
    Shading,
    correlation_plot,
    curves_plot,
    kind_words,
    map_plot,
    ranking_plot,
    retrieval_plot,
)
from outtakes.report.forest import forest
from outtakes.report.plot import Plot
from outtakes.report.quantities import hard_spaces, probability, sentence, significant

PAGE = "report.html"


@dataclass(frozen=True)
class Take:
    """One arm's rollout among those from the same initial state."""

    arm: str
    success: bool
    video: Video


def write_report(content: ReportContent, out: Path) -> Path:
    """Write `report.html` into the folder.

    Args:
        content: what to show; its videos and thumbnails must already lie in `out`.
        out: the folder.

    Returns:
        Path of the page.

    Raises:
        ArtifactError: when a video or thumbnail is missing or lies outside of `out`.
        MachineError: when the folder is not writable or the disk is full.
    """
    page = out / PAGE
    text = _render(content, lambda path: _address(path, out))
    write_atomically(page, lambda temporary: _write_text(temporary, text))
    return page


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _address(path: Path, out: Path) -> str:
    """The path as a URL relative to the page."""
    absolute, folder = Path(os.path.abspath(path)), Path(os.path.abspath(out))
    if not absolute.is_relative_to(folder):
        raise ArtifactError(
            "the report cannot show a file outside of its folder",
            where=path,
            remedy=f"write videos and images below {folder}",
        )
    if not absolute.is_file():
        raise ArtifactError("a video or image is missing", where=path, remedy="render it again")
    return quote(absolute.relative_to(folder).as_posix())


def _render(content: ReportContent, link: Link) -> str:
    environment = Environment(
        loader=PackageLoader("outtakes.report", "page"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters |= {
        "significant": significant,
        "p": probability,
        "sentence": sentence,
        "hard_spaces": hard_spaces,
    }
    shading, measure = Shading(content.cards), content.ranked_by
    return environment.get_template("report.html.j2").render(
        content=content,
        recommended=content.recommendation,
        measure=measure,
        kept=sum(card.kept for card in content.cards),
        forest=forest(content) if content.arms else None,
        curves=curves_plot(content.curves) if content.curves else None,
        rankings=_rankings(content),
        maps=[map_plot(m, shading, content.cards, measure) for m in content.maps if m.points],
        retrieval=_retrieval(content, link, shading),
        cards=card_views(content.cards, shading, link),
        kinds=_kinds(content),
        takes=_takes(content.rollout_videos, link),
        correlation=_correlation(content),
        shading=shading,
    )


def _rankings(content: ReportContent) -> list[tuple[TaskCounts | None, Plot]]:
    """The ranking of each task, with the task where there are several."""
    groups: list[tuple[TaskCounts | None, list[FailureCard]]] = [
        (task, [card for card in content.cards if card.task == task.task]) for task in content.tasks
    ]
    return [
        (task, ranking_plot(own, Shading(own), content.ranked_by))
        for task, own in groups or [(None, list(content.cards))]
        if own
    ]


def _retrieval(content: ReportContent, link: Link, shading: Shading) -> Plot | None:
    retrieval = content.retrieval
    if retrieval is None or not retrieval.bank:
        return None
    pictures = {episode: link(path) for episode, path in retrieval.thumbnails.items()}
    return retrieval_plot(retrieval, pictures, shading, content.ranked_by)


def _correlation(content: ReportContent) -> Plot | None:
    found = content.correlation
    return correlation_plot(found, content.ranked_by) if found and found.pairs else None


def _kinds(content: ReportContent) -> list[tuple[str, str]]:
    """(value, words) of each kind of mistake that occurs."""
    return [(kind, kind_words(kind)) for kind in sorted({c.mistake for c in content.cards} - {""})]


def _takes(videos: Sequence[RolloutVideo], link: Link) -> list[tuple[int, list[Take]]]:
    """Rollouts by initial state, arms in the given order."""
    ordered = sorted(videos, key=lambda v: v.initial_state)
    return [
        (state, [_take(video, link) for video in group])
        for state, group in groupby(ordered, key=lambda v: v.initial_state)
    ]


def _take(rollout: RolloutVideo, link: Link) -> Take:
    return Take(rollout.arm, rollout.success, video_view(rollout.video, link))

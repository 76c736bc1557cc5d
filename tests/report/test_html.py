"""What is written, without a browser."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from outtakes.errors import ArtifactError
from outtakes.evaluation.recommendation import Command, recommend
from outtakes.report.content import ArmRow, MapPoint, Query, ReportContent, RetrievalMap
from outtakes.report.html import write_report
from tests.evaluation.test_recommendation import EVIDENCE

HOSTILE = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>"


def text(content: ReportContent, folder: Path) -> str:
    return write_report(content, folder).read_text(encoding="utf-8")


def test_names_from_the_dataset_are_harmless(content: ReportContent, folder: Path) -> None:
    hostile = replace(
        content,
        title=HOSTILE,
        recommendation=replace(
            content.recommendation,
            headline=HOSTILE,
            why=HOSTILE,
            advice=HOSTILE,
            doubts=(HOSTILE,),
            commands=(Command(HOSTILE, HOSTILE),),
        ),
        measure_note=HOSTILE,
        arms=[replace(arm, arm=HOSTILE) for arm in content.arms],
        cards=[replace(card, mistake=HOSTILE, reason=HOSTILE) for card in content.cards],
        provenance={HOSTILE: HOSTILE},
    )
    page = text(hostile, folder)
    assert "alert(" in page
    assert "<script>alert" not in page
    assert "<img src=x" not in page


def test_page_holds_its_own_styles_and_scripts(report: Path) -> None:
    page = report.read_text(encoding="utf-8")
    assert re.findall(r"<link (?!rel=\"icon\")|<script [^>]*src|@import", page) == []
    addresses = re.findall(r'(?:src|poster|data-picture)="([^"]*)"', page)
    assert addresses
    for address in addresses:
        assert (report.parent / address).is_file(), address


def test_sections_without_content_are_left_out(content: ReportContent, folder: Path) -> None:
    bare = replace(
        content,
        arms=[],
        curves=[],
        maps=[],
        retrieval=None,
        rollout_videos=[],
        correlation=None,
        kendall_tau=None,
        recommendation=replace(content.recommendation, commands=()),
    )
    page = text(bare, folder)
    sections = re.findall(r'<section id="(\w+)"', page)
    assert sections == ["recommendation", "ranking", "failures", "provenance"]
    navigation = page[page.index("<nav") : page.index("</nav>")]
    assert re.findall(r'href="#(\w+)"', navigation) == sections[1:]


def test_begins_with_what_to_do_and_what_speaks_against_it(
    content: ReportContent, folder: Path
) -> None:
    page = text(content, folder)
    assert "✓ Use these" in page and "success went from 71\u202f% to 77\u202f%" in page
    doubtful = replace(EVIDENCE, too_short="Two steps.", doubts=("The ranking is unstable.",))
    page = text(replace(content, recommendation=recommend(doubtful)), folder)
    assert "≈ Cannot tell yet" in page
    top = page[page.index('<section id="recommendation"') : page.index('<dl class="numbers">')]
    assert "<li>Two steps.</li><li>The ranking is unstable.</li>" in top


def test_an_error_is_lower_the_better_and_not_a_percentage(
    content: ReportContent, folder: Path
) -> None:
    arms = [
        ArmRow("all", 0.0431, 0.0402, 0.0466, [0.042, 0.044]),
        ArmRow("nearest", 0.0388, 0.036, 0.041, [0.038, 0.039], -0.0043, -0.007, -0.0016, 0.004),
    ]
    error = replace(
        content, measure="action error on held-out successes", higher_is_better=False, arms=arms
    )
    page = text(error, folder)
    results = page[page.index('<section id="results"') : page.index('<section id="ranking"')]
    assert "Action error on held-out successes, by way of training" in results
    assert "further left is better" in results
    assert "0.0388" in results and "−0.00430" in results and "0.004" in results
    assert "3.9" not in results and "points" not in results


def test_one_failure_one_frame_one_seed_is_enough(content: ReportContent, folder: Path) -> None:
    card = replace(content.cards[0], per_seed={0: 1.0}, score=1.0, over_time=[0.1])
    point = MapPoint(0, True, 0.0, 0.0)
    lonely = RetrievalMap("x (m)", "y (m)", [point], [Query(0, 0.0, 0.0, 99, True)])
    page = text(replace(content, cards=[card], retrieval=lonely), folder)
    assert page.count('class="card"') == 1
    assert re.findall(r'"[^"]*\b(?:nan|inf)\b[^"]*"', page) == []


def test_media_must_be_in_the_folder(content: ReportContent, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="outside of its folder"):
        write_report(content, tmp_path)
    missing = replace(content.cards[0], video=folder / "media" / "nowhere.mp4")
    with pytest.raises(ArtifactError, match="missing"):
        write_report(replace(content, cards=[missing]), folder)


def test_odd_file_names_become_addresses(content: ReportContent, folder: Path) -> None:
    video = content.cards[0].video
    assert video is not None
    odd = video.with_name('50 % "done" #1?.mp4')
    odd.write_bytes(video.read_bytes())
    page = text(replace(content, cards=[replace(content.cards[0], video=odd)]), folder)
    assert 'src="media/50%20%25%20%22done%22%20%231%3F.mp4"' in page


def test_draws_what_it_was_given(content: ReportContent, report: Path) -> None:
    page = report.read_text(encoding="utf-8")
    for arm in content.arms:
        assert arm.arm in page and arm.paper in page
    for card in content.cards:
        assert f'id="episode-{card.episode}"' in page
        assert f'data-score="{card.score}"' in page
    for command in content.recommendation.commands:
        assert command.line in page and command.purpose in page

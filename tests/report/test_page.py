"""The page in a browser: it opens from disk alone, and its controls work."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from outtakes.report.content import ReportContent
from outtakes.report.html import write_report
from tests.report.example import FPS, FRAMES

SECTIONS = [
    "recommendation",
    "commands",
    "results",
    "budgets",
    "ranking",
    "maps",
    "retrieval",
    "failures",
    "rollouts",
    "mistakes",
    "provenance",
]


def shown_episodes(page: Page) -> list[int]:
    return page.eval_on_selector_all(
        ".card:not([hidden])", "cards => cards.map(card => Number(card.dataset.episode))"
    )


def first_card(page: Page) -> Locator:
    return page.locator(".card").first


def playhead(card: Locator) -> float:
    """Share of the curve's width at which the playhead stands."""
    return card.locator(".playhead").evaluate("line => parseFloat(line.style.left || '0') / 100")


def contrast(page: Page, selector: str) -> float:
    """WCAG contrast of an element's text with the page behind it."""
    return page.locator(selector).first.evaluate(
        """element => {
          const canvas = document.createElement("canvas");
          const paint = canvas.getContext("2d", { willReadFrequently: true });
          const luminance = (colour) => {
            paint.fillStyle = colour;
            paint.fillRect(0, 0, 1, 1);
            const [r, g, b] = [...paint.getImageData(0, 0, 1, 1).data].map((byte) => {
              const c = byte / 255;
              return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
            });
            return 0.2126 * r + 0.7152 * g + 0.0722 * b;
          };
          const style = getComputedStyle(element);
          const colour = element instanceof SVGElement ? style.fill : style.color;
          let behind = element;
          while (getComputedStyle(behind).backgroundColor === "rgba(0, 0, 0, 0)") {
            behind = behind.parentElement;
          }
          const lights = [colour, getComputedStyle(behind).backgroundColor].map(luminance);
          return (Math.max(...lights) + 0.05) / (Math.min(...lights) + 0.05);
        }"""
    )


def test_asks_the_network_for_nothing_and_reports_no_error(browser: Browser, report: Path) -> None:
    page = browser.new_page()
    requests, complaints = [], []
    page.on("request", lambda request: requests.append(request.url))
    page.on("requestfailed", lambda request: complaints.append(f"failed: {request.url}"))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(report.as_uri())
    page.locator("#provenance").scroll_into_view_if_needed()
    page.wait_for_load_state("networkidle")
    page.close()
    assert complaints == []
    assert len(requests) > 1
    assert [url for url in requests if not url.startswith(("file://", "data:"))] == []


def test_shows_every_section(page: Page) -> None:
    assert page.eval_on_selector_all("main section", "all => all.map(one => one.id)") == SECTIONS
    for section in SECTIONS:
        expect(page.locator(f"#{section}")).to_be_visible()


def test_sorting_changes_the_order(page: Page, content: ReportContent) -> None:
    page.click("#more")
    by_k = [card.episode for card in content.cards]
    assert shown_episodes(page) == by_k
    page.select_option("#sort", "episode")
    assert shown_episodes(page) == sorted(by_k) != by_k
    page.click("#direction")
    assert shown_episodes(page) == sorted(by_k, reverse=True)
    page.click("#direction")
    page.select_option("#sort", "size")
    by_size = sorted(content.cards, key=lambda card: card.mistake_size or 0.0)
    assert shown_episodes(page) == [card.episode for card in by_size]


def test_cards_of_unknown_mistake_sort_last(
    browser: Browser, content: ReportContent, folder: Path
) -> None:
    unknown = replace(content.cards[0], mistake_size=None)
    report = write_report(replace(content, cards=[unknown, *content.cards[1:]]), folder)
    page = browser.new_page()
    page.goto(report.as_uri())
    page.click("#more")
    page.select_option("#sort", "size")
    assert shown_episodes(page)[-1] == unknown.episode
    page.click("#direction")
    assert shown_episodes(page)[-1] == unknown.episode
    page.close()


def test_filters_leave_what_they_name(page: Page, content: ReportContent) -> None:
    page.get_by_label("Kept", exact=True).check(force=True)
    assert shown_episodes(page) == [card.episode for card in content.cards if card.kept]
    page.get_by_label("All", exact=True).check(force=True)
    page.select_option("#kind", "slip")
    slips = [card.episode for card in content.cards if card.mistake == "slip"]
    assert shown_episodes(page) == slips
    page.fill("#search", f"{slips[2]}, {slips[0]}, 999")
    assert shown_episodes(page) == [slips[0], slips[2]]
    page.fill("#search", "999")
    assert shown_episodes(page) == []
    expect(page.locator("#none")).to_be_visible()
    page.click("#reset")
    assert len(shown_episodes(page)) == len(content.cards)


def test_controls_work_from_the_keyboard(page: Page, content: ReportContent) -> None:
    page.focus("#sort")
    page.keyboard.press("ArrowDown")
    assert shown_episodes(page) == sorted(card.episode for card in content.cards)[:8]
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.get_attribute("#direction", "aria-pressed") == "true"
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    assert set(shown_episodes(page)) == {card.episode for card in content.cards if card.kept}


def test_a_mark_leads_to_its_card(page: Page, content: ReportContent) -> None:
    farthest = content.cards[-1].episode
    card = page.locator(f"#episode-{farthest}")
    expect(card).to_be_hidden()
    page.locator(f"#ranking a[href='#episode-{farthest}']").click()
    expect(card).to_be_in_viewport()
    expect(card).to_be_focused()


def test_marks_say_what_they_are(page: Page, content: ReportContent) -> None:
    nearest = content.cards[0]
    page.locator(f"#ranking a[href='#episode-{nearest.episode}']").hover()
    expect(page.locator("#tip")).to_contain_text(f"Episode {nearest.episode}")
    page.locator("#retrieval .mark[data-picture] use").last.hover()
    expect(page.locator("#tip img")).to_be_visible()


def test_videos_play_together_and_the_playhead_follows(page: Page) -> None:
    card = first_card(page)
    video = card.locator("video").first
    card.get_by_role("button", name="Play both").click()
    page.wait_for_function("document.querySelector('.card video').currentTime > 0.5")
    card.get_by_role("button", name="Pause").click()
    page.wait_for_timeout(100)
    times = card.locator("video").evaluate_all("videos => videos.map(v => v.currentTime)")
    assert min(times) > 0.2
    frame = int(video.evaluate("video => video.currentTime") * FPS + 1e-6)
    assert playhead(card) == pytest.approx(frame / (FRAMES - 1), abs=1e-4)


def test_clicking_a_curve_seeks(page: Page) -> None:
    card = first_card(page)
    timeline = card.locator(".timeline")
    timeline.scroll_into_view_if_needed()
    box = timeline.bounding_box()
    assert box is not None
    timeline.click(position={"x": box["width"] * 0.75, "y": 20})
    frame = round(0.75 * (FRAMES - 1))
    page.wait_for_function("document.querySelector('.card video').currentTime > 0.1")
    seconds = card.locator("video").first.evaluate("video => video.currentTime")
    assert int(seconds * FPS) == frame
    assert playhead(card) == pytest.approx(frame / (FRAMES - 1), abs=1e-4)
    expect(card.locator(".readout")).to_contain_text(f"{frame / FPS:.2f} s, frame {frame}:")
    timeline.press("ArrowRight")
    expect(timeline).to_have_attribute("aria-valuenow", str(frame + 1))


def test_all_rollouts_of_one_start_play(page: Page) -> None:
    takes = page.locator(".takes").first
    takes.get_by_role("button", name="Play all").click()
    page.wait_for_function(
        "[...document.querySelector('.takes').querySelectorAll('video')]"
        ".every(video => video.currentTime > 0.1)"
    )


def test_commands_can_be_copied(page: Page, content: ReportContent) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.locator("#commands button.copy").last.click()
    expect(page.locator("#commands button.copy").last).to_have_text("Copied")
    assert (
        page.evaluate("navigator.clipboard.readText()") == content.recommendation.commands[-1].line
    )


@pytest.mark.parametrize("width", [1440, 800, 400])
def test_never_scrolls_sideways(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    page.click("#more")
    page.click(".glossary summary")
    assert page.evaluate("document.scrollingElement.scrollWidth") <= width


def test_rows_stack_on_a_narrow_screen(page: Page) -> None:
    page.set_viewport_size({"width": 400, "height": 900})
    row = page.locator(".forest tbody tr").nth(1)
    drawing, mean = (row.locator(part).bounding_box() for part in (".interval svg", "b >> nth=0"))
    assert drawing is not None and mean is not None
    assert drawing["width"] > 300
    assert drawing["y"] + drawing["height"] <= mean["y"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_legible_in_both_schemes(page: Page, scheme: Literal["light", "dark"]) -> None:
    page.emulate_media(color_scheme=scheme)
    for selector in (
        ".headline", ".status", ".lead", ".forest td", ".tick", ".card h3", ".reason", ".badge.yes",
        ".badge.no", ".readout", "code", "#count", ".band-label",
    ):  # fmt: skip
        assert contrast(page, selector) >= 4.5, selector
    light = page.evaluate(
        "getComputedStyle(document.body).backgroundColor === 'rgb(250, 249, 246)'"
    )
    assert light == (scheme == "light")


def test_a_hundred_cards_open_fast(browser: Browser, content: ReportContent, folder: Path) -> None:
    cards = [
        replace(content.cards[i % 12], episode=100 + i, rank=i + 1, over_time=[0.1] * 400)
        for i in range(100)
    ]
    path = write_report(replace(content, cards=cards), folder)
    assert path.stat().st_size < 6e6
    page = browser.new_page()
    page.goto(path.as_uri())
    milliseconds = page.evaluate("performance.getEntriesByType('navigation')[0].duration")
    page.close()
    assert milliseconds < 5000


def test_a_curve_says_what_each_length_came_to_and_which_is_used(page: Page) -> None:
    plot = page.locator("#budgets .plot").first
    tips = plot.locator("[data-tip]").evaluate_all("marks => marks.map(m => m.dataset.tip)")
    assert "ACT, all failures\n50 % after 1,000 steps\nthe length that is used" in tips
    assert "ACT, all failures\n38 % after 600 steps" in tips
    assert len([tip for tip in tips if tip.endswith("the length that is used")]) == 3

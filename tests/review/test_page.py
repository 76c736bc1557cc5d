"""The page in a browser, with real videos: it plays, it saves, and it loses nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from outtakes.data.lerobot.episode_index import read_layout
from tests.ranking.rankings import make_scores
from tests.review.coded import CAMERAS, FPS, LENGTHS, READ_CODE
from tests.review.many import repeated
from tests.review.served import Served

SHOWN = "#cameras video:not(.spare), #cameras img"


class Opener:
    """Opens served pages, each in a browser profile of its own."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._contexts: list[BrowserContext] = []
        self.complaints: list[str] = []
        """What the pages said in the console."""

    def __call__(self, served: Served, *, still: bool = True, fragment: str = "") -> Page:
        """Open a page, which stands still unless told otherwise."""
        context = self._browser.new_context(
            viewport={"width": 1280, "height": 720},
            reduced_motion="reduce" if still else "no-preference",
        )
        self._contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.goto(served.address + fragment)
        expect(page.locator("#title")).to_have_text(f"Episode {fragment.lstrip('#') or 0}")
        return page

    def close(self) -> None:
        for context in self._contexts:
            context.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Opener]:
    """Opens pages; the test fails when one complains."""
    opener = Opener(browser)
    yield opener
    opener.close()
    assert opener.complaints == []


@pytest.fixture
def page(served: Served, open_page: Opener) -> Page:
    return open_page(served)


def shown(page: Page) -> list[dict[str, int]]:
    """The frame and episode that each camera really shows, read from its pixels."""
    read = f"all => all.map({READ_CODE})"
    return page.eval_on_selector_all(SHOWN, read)


def expect_shown(page: Page, episode: int, frame: int, cameras: int = 2) -> None:
    page.wait_for_function(
        f"""([selector, episode, frame, cameras]) => {{
          const read = {READ_CODE};
          const all = [...document.querySelectorAll(selector)].map(read);
          return all.length === cameras && all.every((c) => c.frame === frame)
            && all.every((c) => c.episode === episode);
        }}""",
        arg=[SHOWN, episode, frame, cameras],
    )


def watch(page: Page, milliseconds: int) -> list[list[dict[str, int]]]:
    """What the cameras show at every repaint for a while."""
    return page.evaluate(
        f"""async ([selector, milliseconds]) => {{
          const read = {READ_CODE};
          const until = performance.now() + milliseconds;
          const seen = [];
          while (performance.now() < until) {{
            await new Promise(requestAnimationFrame);
            seen.push([...document.querySelectorAll(selector)].map(read));
          }}
          return seen;
        }}""",
        [SHOWN, milliseconds],
    )


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def press_and_save(page: Page, key: str, message: str) -> None:
    page.keyboard.press(key)
    expect(page.locator("#status")).to_have_text(f"Saved: {message}")


def labels(dataset: Path) -> dict[str, str]:
    return json.loads((dataset / "episode_labels.json").read_text())


def listed(page: Page) -> list[int]:
    return page.eval_on_selector_all(
        "#list [role=option]", "rows => rows.map(row => Number(row.id.split('-')[1]))"
    )


# --- watching -------------------------------------------------------------------------------------


def test_it_plays_as_it_opens_and_the_position_advances(served: Served, open_page: Opener) -> None:
    page = open_page(served, still=False)
    page.wait_for_function("() => document.getElementById('scrub').value > 10")
    before = shown(page)[0]["frame"]
    page.wait_for_function(
        f"frame => ({READ_CODE})(document.querySelector('video:not(.spare)')).frame > frame + 5",
        arg=before,
    )
    assert {camera["episode"] for camera in shown(page)} == {0}


def test_cameras_stay_within_a_frame_of_one_another_and_of_the_clock(page: Page) -> None:
    expect_shown(page, 0, 0)
    page.keyboard.press("Space")
    page.wait_for_function("() => document.getElementById('scrub').value > 4")
    seen = watch(page, 1500)
    frames = [[camera["frame"] for camera in cameras] for cameras in seen]
    assert len({tuple(pair) for pair in frames}) > 15
    apart = [abs(one - other) for one, other in frames]
    assert max(apart) <= 1
    assert sum(apart) / len(apart) < 0.25


def test_playing_in_a_loop_never_shows_another_episode(served: Served, open_page: Opener) -> None:
    page = open_page(served, fragment="#1")
    expect_shown(page, 1, 0)
    page.select_option("#rate", "2")
    page.click("#play")
    firsts: list[int] = []
    to_the_end = again = False
    for _ in range(20):
        seen = watch(page, 1500)
        assert {camera["episode"] for cameras in seen for camera in cameras} == {1}
        firsts += [cameras[0]["frame"] for cameras in seen]
        # A busy machine may not present each of the last frames every time.
        to_the_end = max(firsts) >= LENGTHS[1] - 8
        again = any(later < earlier - 20 for earlier, later in pairwise(firsts))
        if to_the_end and again:
            break
    assert to_the_end and again


def test_steps_are_exact_in_every_camera(served: Served, open_page: Opener) -> None:
    page = open_page(served, fragment="#2")
    expect_shown(page, 2, 0)
    for key, frame in [
        ("ArrowRight", 1), ("ArrowRight", 2), ("ArrowLeft", 1), ("End", LENGTHS[2] - 1),
        ("ArrowRight", LENGTHS[2] - 1), ("ArrowLeft", LENGTHS[2] - 2), ("Home", 0),
        ("ArrowLeft", 0),
    ]:  # fmt: skip
        page.keyboard.press(key)
        expect_shown(page, 2, frame)
        assert f"frame {frame + 1} of {LENGTHS[2]}" in page.inner_text("#readout")


def test_the_scrub_bar_shows_the_frame_it_stands_on(page: Page) -> None:
    box = page.locator("#scrub").bounding_box()
    assert box is not None
    for share in (0.7, 0.3):
        page.mouse.click(box["x"] + share * box["width"], box["y"] + box["height"] / 2)
        frame = int(page.input_value("#scrub"))
        assert frame == pytest.approx(share * LENGTHS[0], abs=2)
        expect_shown(page, 0, frame)


def test_without_a_loop_it_stops_on_the_last_frame(page: Page) -> None:
    press(page, "l", "]", "]", "Space")
    page.wait_for_function(f"() => document.getElementById('scrub').value == {LENGTHS[0] - 1}")
    expect(page.locator("#play")).to_contain_text("Play")
    expect_shown(page, 0, LENGTHS[0] - 1)
    assert not page.is_checked("#loop")
    assert page.input_value("#rate") == "4"


def test_speed_is_the_speed(page: Page) -> None:
    expect_shown(page, 0, 0)
    press(page, "[", "Space")
    page.wait_for_function("() => document.getElementById('scrub').value > 2")
    seen = watch(page, 1000)
    passed = seen[-1][0]["frame"] - seen[0][0]["frame"]
    assert passed == pytest.approx(FPS / 2, abs=3)


def test_the_next_episode_waits_with_its_first_frame(page: Page) -> None:
    spare = "#cameras video.spare"
    page.wait_for_function(
        f"""selector => [...document.querySelectorAll(selector)].every((video) => {{
          const code = ({READ_CODE})(video);
          return video.readyState >= 2 && !video.seeking && code.episode === 1 && code.frame === 0;
        }})""",
        arg=spare,
    )
    page.keyboard.press("ArrowDown")
    assert shown(page) == [{"frame": 0, "episode": 1}] * len(CAMERAS)


def test_racing_through_the_episodes_ends_at_the_right_one(page: Page) -> None:
    press(page, "j", "j", "j", "k", "j", "j", "k")
    expect(page.locator("#title")).to_have_text("Episode 3")
    expect_shown(page, 3, 0)


def test_stored_pictures_play_and_step_like_videos(
    stored_pictures: Path, tmp_path: Path, serve: Callable[..., Served], open_page: Opener
) -> None:
    page = open_page(serve(stored_pictures, out=tmp_path / "out"))
    expect_shown(page, 0, 0, cameras=1)
    page.keyboard.press("Space")
    page.wait_for_function(
        f"() => ({READ_CODE})(document.querySelector('#cameras img')).frame > 12"
    )
    page.keyboard.press("Space")
    frame = int(page.input_value("#scrub"))
    expect_shown(page, 0, frame, cameras=1)
    press(page, "j", "ArrowRight")
    expect_shown(page, 1, 1, cameras=1)
    expect(page.locator("#facts .badge")).to_have_text("? no label")


def test_a_camera_whose_video_is_missing_says_so_and_the_other_plays(
    served: Served, dataset: Path, open_page: Opener
) -> None:
    layout = read_layout(dataset)
    (dataset / layout.videos["observation.images.wrist"].files[0]).unlink()
    page = open_page(served)
    expect(page.locator("figcaption").nth(1)).to_contain_text("wrist: ")
    page.keyboard.press("Space")
    page.wait_for_function("() => document.getElementById('scrub').value > 10")
    open_page.complaints.clear()  # the browser, too, complains of the missing file


# --- deciding -------------------------------------------------------------------------------------


def test_every_key_press_is_on_disk_when_the_page_says_so(page: Page, dataset: Path) -> None:
    press_and_save(page, "f", "episode 0 is a failure")
    assert labels(dataset) == {"0": "failure"}
    press_and_save(page, "s", "episode 0 is a success")
    assert labels(dataset) == {"0": "success"}
    page.keyboard.press("j")
    press_and_save(page, "x", "episode 1 is dropped")
    review = json.loads((dataset / "review.json").read_text())
    assert (review["dropped"], review["revision"]) == ([1], 3)
    press_and_save(page, "c", "episode 1 is kept")
    assert json.loads((dataset / "review.json").read_text())["dropped"] == []


def test_buttons_do_what_keys_do_and_leave_the_space_bar_to_the_player(
    page: Page, dataset: Path
) -> None:
    page.get_by_role("button", name="Failure").click()
    expect(page.locator("#status")).to_have_text("Saved: episode 0 is a failure")
    page.keyboard.press("Space")
    expect(page.locator("#play")).to_contain_text("Pause")
    page.get_by_role("button", name="Drop").click()
    expect(page.locator("#status")).to_have_text("Saved: episode 0 is dropped")
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("#status")).to_have_text("Saved: undone, episode 0 is kept")
    assert labels(dataset) == {"0": "failure"}


def test_keys_pressed_at_once_are_all_saved_in_order(page: Page, dataset: Path) -> None:
    press(page, "f", "s", "x", "j", "f", "j", "s", "j", "s", "u")
    expect(page.locator("#status")).to_have_text("Saved: undone, episode 3 is a failure")
    assert labels(dataset) == {"0": "success", "1": "failure", "2": "success"}


def test_a_reload_loses_nothing_not_even_the_undo(page: Page, dataset: Path) -> None:
    press_and_save(page, "x", "episode 0 is dropped")
    page.keyboard.press("j")
    press_and_save(page, "s", "episode 1 is a success")
    page.reload()
    expect(page.locator("#title")).to_have_text("Episode 1")
    expect(page.locator("#success")).to_have_attribute("aria-pressed", "true")
    press_and_save(page, "u", "undone, episode 1 is a failure")
    assert labels(dataset) == {}
    press_and_save(page, "u", "undone, episode 0 is kept")
    expect(page.locator("#title")).to_have_text("Episode 0")
    expect(page.locator("#undo")).to_be_disabled()


def test_what_is_pressed_just_before_a_reload_arrives(page: Page, dataset: Path) -> None:
    page.keyboard.press("f")
    page.reload()
    expect(page.locator("#failure")).to_have_attribute("aria-pressed", "true")
    assert labels(dataset) == {"0": "failure"}


def test_keys_that_a_reload_overtakes_are_sent_after_it(
    page: Page, dataset: Path, open_page: Opener
) -> None:
    # All in one task of the page: no request can have gone out before the reload begins.
    page.evaluate(
        """keys => {
            for (const key of keys)
                document.body.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
            location.reload();
        }""",
        ["f", "j", "s", "j", "x", "u", "k", "f"],
    )
    expect(page.locator("#status")).to_have_text("Saved: episode 1 is a failure")
    assert labels(dataset) == {"0": "failure", "1": "failure"}
    expect(page.locator("#episode-2 .kept")).to_have_text("")
    open_page.complaints.clear()  # of the first one, sent twice and refused the second time


def test_two_pages_add_up_and_never_overrule_one_another_unseen(
    served: Served, dataset: Path, serve: Callable[..., Served], open_page: Opener
) -> None:
    one, other = open_page(served), open_page(serve(dataset))  # of two processes, as it were
    press_and_save(one, "f", "episode 0 is a failure")
    other.keyboard.press("j")
    press_and_save(other, "s", "episode 1 is a success")
    assert labels(dataset) == {"0": "failure", "1": "success"}
    # The answer told that there had been another change.
    expect(other.locator("#episode-0 .badge")).to_have_text("✗ failure")
    one.keyboard.press("j")
    one.keyboard.press("f")
    expect(one.locator("#status")).to_contain_text("Not saved: changed elsewhere")
    assert labels(dataset)["1"] == "success"
    expect(one.locator("#success")).to_have_attribute("aria-pressed", "true")
    press_and_save(one, "f", "episode 1 is a failure")
    open_page.complaints.clear()  # of the refused request


def test_a_page_that_is_looked_at_again_shows_what_others_decided(
    page: Page, served: Served
) -> None:
    served.post("changes", {"episode": 2, "field": "dropped", "before": False, "after": True})
    page.evaluate("dispatchEvent(new Event('focus'))")
    expect(page.locator("#episode-2 .kept")).to_have_text("dropped")


def test_a_server_that_has_gone_is_noticed_at_once(
    page: Page, served: Served, open_page: Opener
) -> None:
    served.stop()
    page.keyboard.press("f")
    expect(page.locator("#status")).to_have_text(
        "Not saved: outtakes review has ended; start it again"
    )
    expect(page.locator("#failure")).to_have_attribute("aria-pressed", "false")
    open_page.complaints.clear()  # of the failed request


# --- the list -------------------------------------------------------------------------------------


def test_o_sorts_by_score_and_back(
    dataset: Path, tmp_path: Path, serve: Callable[..., Served], open_page: Opener
) -> None:
    make_scores([3.0, 1.0, 2.0]).save(tmp_path / "scores.json")
    page = open_page(serve(dataset, scores=tmp_path / "scores.json"))
    page.keyboard.press("o")
    assert listed(page) == [1, 2, 0, 3, 4, 5]
    page.click("#direction")
    assert listed(page) == [0, 2, 1, 3, 4, 5]
    page.click("#direction")
    press(page, "o")
    assert listed(page) == [0, 1, 2, 3, 4, 5]
    expect(page.locator("#episode-1 .rank")).to_have_text("rank 1")


def test_without_scores_o_says_so(page: Page) -> None:
    page.keyboard.press("o")
    expect(page.locator("#status")).to_contain_text("--scores")
    assert listed(page) == list(range(6))


def test_filters_and_search_leave_what_they_name(page: Page) -> None:
    page.select_option("#outcome", "failure")
    assert listed(page) == [1, 3, 5]
    page.select_option("#outcome", "none")
    expect(page.locator("#none")).to_be_visible()
    page.click("#reset")
    assert listed(page) == list(range(6))
    press(page, "/")
    page.keyboard.type("count 45")
    assert listed(page) == []  # a number is an episode
    page.fill("#search", "4 ")
    assert listed(page) == [4]
    page.fill("#search", "")
    press(page, "Escape", "x")
    expect(page.locator("#status")).to_have_text("Saved: episode 0 is dropped")
    page.select_option("#kept", "dropped")
    assert listed(page) == [0]


def test_a_label_does_not_move_the_episode_away_from_under_the_eye(page: Page) -> None:
    page.select_option("#outcome", "success")
    page.focus("#list")
    press_and_save(page, "f", "episode 0 is a failure")
    assert listed(page) == [0, 2, 4]
    page.keyboard.press("j")
    expect(page.locator("#title")).to_have_text("Episode 2")


def test_five_hundred_episodes_keep_few_rows_in_the_page(
    coded: Path, tmp_path: Path, serve: Callable[..., Served], open_page: Opener
) -> None:
    page = open_page(serve(repeated(coded, tmp_path / "many", 500)))
    expect(page.locator("#count")).to_have_text("500 of 500 shown")
    assert 6 < page.locator("#list [role=option]").count() < 40
    expect(page.locator("#episode-0")).to_have_attribute("aria-setsize", "500")
    page.locator("#list").evaluate("list => list.scrollTop = list.scrollHeight")
    expect(page.locator("#episode-499")).to_be_visible()
    page.locator("#episode-499").click()
    expect_shown(page, 499 % 6, 0)
    press_and_save(page, "x", "episode 499 is dropped")
    press(page, "k")
    expect(page.locator("#title")).to_have_text("Episode 498")
    page.fill("#search", "0")
    page.press("#search", "Escape")
    press(page, "j")
    expect(page.locator("#title")).to_have_text("Episode 0")


# --- the page itself ------------------------------------------------------------------------------


def test_everything_comes_from_the_one_server(served: Served, browser: Browser) -> None:
    page, requests = browser.new_page(), []
    page.on("request", lambda request: requests.append(request.url))
    page.goto(served.address)
    page.wait_for_function("() => document.getElementById('scrub').value > 5")
    page.keyboard.press("?")
    page.close()
    assert len(requests) > 8
    assert [url for url in requests if not url.startswith(served.address)] == []


def test_a_script_that_slips_into_the_page_does_not_run(page: Page, open_page: Opener) -> None:
    page.evaluate(
        "document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.evil = 1\">');"
        "document.body.append(Object.assign(document.createElement('script'),"
        " { textContent: 'window.evil = 1' }))"
    )
    page.wait_for_timeout(200)
    assert page.evaluate("window.evil") is None
    assert any("Content Security Policy" in complaint for complaint in open_page.complaints)
    open_page.complaints.clear()


def test_a_task_is_text_and_never_markup(
    dataset: Path, serve: Callable[..., Served], open_page: Opener
) -> None:
    import pyarrow.parquet as pq

    (index,) = dataset.glob("meta/episodes/*/*.parquet")
    table = pq.read_table(index)
    hostile = "<img src=x onerror=alert(1)>"
    place = table.column_names.index("tasks")
    pq.write_table(table.set_column(place, "tasks", [[[hostile]] * 6]), index)
    page = open_page(serve(dataset))
    expect(page.locator("#task")).to_have_text(hostile)
    expect(page.locator("#episode-3 .task")).to_have_text(hostile)


def test_help_lists_every_key(page: Page) -> None:
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    told = set(page.locator("#help dt kbd").all_inner_texts())
    assert told >= {"J", "K", "Space", "←", "→", "S", "F", "X", "C", "U", "O", "L", "[", "]", "?"}
    page.keyboard.press("s")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(page.locator("#status")).to_have_text("")


def test_focus_can_be_seen_and_the_list_says_what_is_chosen(page: Page) -> None:
    page.keyboard.press("j")
    expect(page.locator("#list")).to_be_focused()
    expect(page.locator("#list")).to_have_attribute("aria-activedescendant", "episode-1")
    width = "element => getComputedStyle(element).outlineWidth"
    assert page.locator("#episode-1").evaluate(width) == "2px"
    for _ in range(12):
        page.keyboard.press("Tab")
        focused = page.locator(":focus")
        if focused.count():
            assert focused.evaluate(width) == "2px", focused.evaluate("e => e.outerHTML")


@pytest.mark.parametrize("size", [(1280, 720), (1920, 1080), (700, 900)])
def test_the_page_fits_its_window(page: Page, size: tuple[int, int]) -> None:
    page.set_viewport_size({"width": size[0], "height": size[1]})
    assert page.evaluate("document.scrollingElement.scrollWidth") <= size[0]
    if size[0] >= 1280:
        assert page.evaluate("document.scrollingElement.scrollHeight") <= size[1]
        for button in ("#success", "#drop", "#undo", "#play"):
            expect(page.locator(button)).to_be_in_viewport(ratio=1)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_legible_in_both_schemes(page: Page, scheme: Literal["light", "dark"]) -> None:
    from tests.report.test_page import contrast

    press_and_save(page, "x", "episode 0 is dropped")
    page.emulate_media(color_scheme=scheme)
    for selector in (
        "#progress", "#status", ".field", "#episode-0 .kept", "#episode-1 .badge", ".task",
        "#episode-2 .badge", "#title", ".tag", "#readout", "#success", "#drop", "#count", "kbd",
    ):  # fmt: skip
        assert contrast(page, selector) >= 4.5, selector

"""What the server gives, and to whom."""

from __future__ import annotations

import json
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path

import numpy as np
import pytest

from outtakes.data.lerobot.video import decode_image
from outtakes.errors import ArtifactError, ConfigError, MachineError
from outtakes.review.catalogue import read_catalogue
from outtakes.review.routes import PAGE
from outtakes.review.server import prepare_server
from outtakes.review.sidecars import Sidecars
from outtakes.review.video_range import LONGEST_PIECE, video_response
from tests.ranking.rankings import make_scores
from tests.review.coded import CAMERAS, LENGTHS, coded_frame
from tests.review.served import Served

PATHS = ("", "page.js", "episodes", "decisions", "changes", "undo", "videos/0", "pictures/0/0/0")


# Who is served


@pytest.mark.parametrize("token", ["", "x", "{token}x", "{half}", "%00", "%C3%A9"])
def test_nothing_is_given_without_the_token(served: Served, token: str):
    whole = served.server.token
    guess = token.format(token=whole, half=whole[:20])
    for method in ("GET", "POST", "HEAD", "OPTIONS"):
        for path in PATHS:
            answer = served.ask(method, f"/{guess}/{path}", {})
            assert answer.status == 403
            assert answer.body in (b"forbidden", b"")


def test_the_token_is_long_and_new_every_time(dataset: Path, serve: Callable[..., Served]):
    one, other = serve(dataset), serve(dataset)
    assert one.server.token != other.server.token
    assert len(one.server.token) >= 43  # 256 bits
    assert one.ask("GET", f"/{other.server.token}/", {}).status == 403


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "[::1]:{port}", ""]
)
def test_a_name_that_leads_here_by_dns_rebinding_is_refused(served: Served, host):
    path = f"/{served.server.token}/episodes"
    named = {"Host": host.format(port=served.port)}
    assert served.ask("GET", path, named).status in (400, 403)
    assert served.ask("GET", path, {"Host": f"localhost:{served.port}"}).status == 200


def test_a_page_from_elsewhere_is_refused_and_told_no_permission(served: Served):
    for origin in ("http://evil.example", "null", f"https://127.0.0.1:{served.port}"):
        assert served.get("episodes", Origin=origin).status == 403
    answer = served.get("episodes", Origin=f"http://127.0.0.1:{served.port}")
    assert answer.status == 200
    assert not [name for name in answer.headers if name.lower().startswith("access-control")]


@pytest.mark.parametrize("path", ["", "page.js", "episodes", "videos/0", "nothing"])
def test_every_answer_forbids_what_the_page_does_not_need(served: Served, path):
    headers = {name.lower(): value for name, value in served.get(path).headers.items()}
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert policy.pop("default-src") == "'none'"
    assert set(policy.values()) == {"'self'", "'none'"}
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert "server" not in headers


def test_only_this_machine_can_connect(served: Served):
    assert served.server.listener.getsockname()[0] == "127.0.0.1"


@pytest.mark.parametrize(
    "path", ["../routes.py", "..%2Froutes.py", "%2e%2e/routes.py", "videos/../routes.py"]
)
def test_no_path_leads_out_of_the_page(served: Served, path):
    assert (PAGE.parent / "routes.py").is_file()
    assert served.get(path).status in (403, 404)


# Videos


def test_a_whole_video_is_the_file(served: Served, dataset: Path):
    content = (dataset / read_catalogue(dataset).videos[0]).read_bytes()
    answer = served.get("videos/0")
    assert answer.status == 200
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["content-type"] == "video/mp4"
    assert answer.body == content


@pytest.mark.parametrize(
    ("wanted", "first", "last"),
    [
        ("0-", 0, None),
        ("0-0", 0, 0),
        ("10-19", 10, 19),
        ("5-", 5, None),
        ("100-999999999", 100, None),
    ],
)
def test_a_piece_is_these_bytes_of_the_file(served: Served, dataset: Path, wanted, first, last):
    content = (dataset / read_catalogue(dataset).videos[0]).read_bytes()
    answer = served.get("videos/0", Range=f"bytes={wanted}")
    last = len(content) - 1 if last is None else last
    assert answer.status == 206
    assert answer.body == content[first : last + 1]
    assert answer.headers["content-range"] == f"bytes {first}-{last}/{len(content)}"


def test_the_end_of_a_file_can_be_asked_for(served: Served, dataset: Path):
    content = (dataset / read_catalogue(dataset).videos[0]).read_bytes()
    assert served.get("videos/0", Range="bytes=-7").body == content[-7:]
    assert served.get("videos/0", Range="bytes=-99999999").body == content


@pytest.mark.parametrize("wanted", ["bytes=99999999-", "bytes=9-5", "bytes=-0"])
def test_a_piece_outside_of_the_file_is_refused(served: Served, wanted):
    answer = served.get("videos/0", Range=wanted)
    assert answer.status == 416
    assert answer.headers["content-range"].startswith("bytes */")


@pytest.mark.parametrize("wanted", ["bytes=0-1,4-5", "lines=0-1", "bytes=-", "bytes=a-b"])
def test_ranges_of_other_kinds_are_ignored(served: Served, wanted):
    assert served.get("videos/0", Range=wanted).status == 200


def test_a_long_piece_is_cut_short_so_that_its_connection_is_free_again(tmp_path: Path):
    content = np.random.default_rng(0).bytes(3 * LONGEST_PIECE)
    (tmp_path / "video.mp4").write_bytes(content)
    pieces, first = [], 0
    while first < len(content):
        answer = video_response(tmp_path / "video.mp4", f"bytes={first}-")
        assert len(answer.body) <= LONGEST_PIECE
        pieces.append(bytes(answer.body))
        first += len(answer.body)
    assert b"".join(pieces) == content


def test_missing_and_unknown_videos_are_not_found(served: Served, dataset: Path):
    (dataset / read_catalogue(dataset).videos[0]).unlink()
    assert served.get("videos/0").status == 404
    assert served.get("videos/2").status == 404


# Episodes and pictures


def test_episodes_are_told_with_all_that_is_known(served: Served):
    told = served.get("episodes").json
    assert told["cameras"] == list(CAMERAS)
    assert [e["length"] for e in told["episodes"]] == list(LENGTHS)
    assert [e["recorded"] for e in told["episodes"]] == ["success", "failure"] * 3
    assert {e["source"] for e in told["episodes"]} == {"next.success"}
    assert told["episodes"][2]["task"] == "count to 45"
    starts = np.cumsum([0, *LENGTHS[:-1]]) / told["fps"]
    for camera in range(2):
        assert [e["clips"][camera][0] for e in told["episodes"]] == [camera] * 6
        assert [e["clips"][camera][1] for e in told["episodes"]] == pytest.approx(starts)


def test_ranks_follow_the_scores(dataset: Path, serve: Callable[..., Served], tmp_path: Path):
    make_scores([3.0, 1.0, 2.0]).save(tmp_path / "scores.json")
    told = serve(dataset, scores=tmp_path / "scores.json").get("episodes").json["episodes"]
    assert [e["rank"] for e in told] == [[3, 3.0], [1, 1.0], [2, 2.0], None, None, None]


def test_scores_of_another_dataset_are_refused(dataset: Path, tmp_path: Path):
    make_scores().save(tmp_path / "scores.json")
    with pytest.raises(ArtifactError, match="rank episode 6, which the dataset does not have"):
        read_catalogue(dataset, tmp_path / "scores.json")


def test_stored_pictures_come_as_they_are(stored_pictures: Path, serve: Callable[..., Served]):
    served = serve(stored_pictures)
    assert served.get("episodes").json["episodes"][0]["clips"] == [None]
    for episode, frame in [(0, 0), (1, 7), (2, LENGTHS[2] - 1)]:
        answer = served.get(f"pictures/0/{episode}/{frame}")
        assert answer.headers["content-type"] == "image/png"
        image = decode_image(answer.body, "here")
        np.testing.assert_array_equal(image, coded_frame(frame, episode))


@pytest.mark.parametrize("path", ["0/0/50", "0/9/0", "1/0/0"])
def test_pictures_that_do_not_exist_are_not_found(stored_pictures: Path, serve, path):
    assert serve(stored_pictures).get(f"pictures/{path}").status == 404


def test_a_dataset_without_outcomes_or_cameras_can_be_reviewed(stored_pictures: Path, serve):
    assert serve(stored_pictures).get("episodes").json["episodes"][0]["recorded"] is None


# Saving


def change(episode: int, field: str, before, after) -> dict:
    return {"episode": episode, "field": field, "before": before, "after": after}


def test_a_change_is_on_disk_when_it_is_answered(served: Served, dataset: Path):
    answer = served.post("changes", change(1, "label", None, "success"))
    assert answer.status == 200
    assert json.loads((dataset / "episode_labels.json").read_text()) == {"1": "success"}
    assert answer.json == {"revision": 1, "last": change(1, "label", None, "success")}
    assert served.post("undo", {"revision": 1}).json == {"revision": 2, "last": None}
    assert json.loads((dataset / "episode_labels.json").read_text()) == {}


def test_a_conflict_tells_what_stands(served: Served):
    served.post("changes", change(1, "dropped", False, True))
    answer = served.post("changes", change(1, "dropped", False, True))
    assert answer.status == 409
    assert answer.json["dropped"] == [1]
    assert served.post("undo", {"revision": 0}).status == 409


@pytest.mark.parametrize(
    ("content", "status"),
    [
        ({}, 400),
        ([], 400),
        (change(1, "label", None, "success") | {"more": 1}, 400),
        ("x", 400),
        (change(1, "label", None, "great"), 500),
        (change(99, "label", None, "success"), 500),
    ],
)
def test_what_makes_no_sense_changes_nothing(served: Served, dataset: Path, content, status):
    answer = served.post("changes", content)
    assert answer.status == status and answer.json["error"]
    assert not (dataset / "review.json").exists()


def test_a_damaged_sidecar_is_reported(served: Served, dataset: Path):
    (dataset / "episode_labels.json").write_text("{")
    answer = served.get("decisions")
    assert answer.status == 500 and "cannot read the labels" in answer.json["error"]


# Ports


def test_a_taken_port_is_refused(served: Served, dataset: Path):
    catalogue = read_catalogue(dataset)
    sidecars = Sidecars(dataset, dataset, catalogue.episode_indices)
    with pytest.raises(MachineError, match=f"cannot use port {served.port}"):
        prepare_server(catalogue, sidecars, served.port)
    with pytest.raises(ConfigError, match="no port 70000"):
        prepare_server(catalogue, sidecars, 70000)


def test_stopping_does_not_wait_for_those_who_watch(dataset: Path, serve: Callable[..., Served]):
    served = serve(dataset)
    connection = HTTPConnection("127.0.0.1", served.port)
    connection.connect()
    served.stop()
    connection.close()

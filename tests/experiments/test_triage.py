"""Triage of a dataset whose robot has no simulator."""

from __future__ import annotations

import html
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import outtakes
from outtakes.errors import ArtifactError
from outtakes.evaluation.recommendation import Recommendation
from outtakes.experiments.held_out import ActionErrors
from outtakes.experiments.recipes import SMOKE
from outtakes.experiments.triage import FOLDS
from outtakes.policy.checkpoint import Checkpoint
from outtakes.ranking.action_error import errors_along
from outtakes.ranking.scores import Scores
from outtakes.selection.select import Selection
from tests.commands import TINY, done, fingerprint, refused
from tests.demos import make_demos, train_small


@pytest.mark.parametrize("name", ["blind", "pictures"])
def test_triage(name: str, made_datasets: Path, tmp_path: Path) -> None:
    before = fingerprint(made_datasets)
    out = tmp_path / "out"
    called = done("triage", made_datasets / name, *TINY, "--count", "1", "--out", out, "--json")
    assert fingerprint(made_datasets) == before
    content = json.loads(called.out)
    nearest = Scores.load(out / "scores.json").ranked()[0].episode
    assert content["kept"] == sorted([0, 2, 4, nearest])
    assert content["kept"] == Selection.load(out / "selection.json").kept
    advice = content["recommendation"]
    assert (advice["decision"], advice["failures"]) == ("cannot tell yet", [])
    assert "2 steps alone" in advice["doubts"][0]
    assert advice == json.loads(
        json.dumps(Recommendation.load(out / "recommendation.json").as_json())
    )
    page = html.unescape((out / "report.html").read_text(encoding="utf-8"))
    assert advice["headline"] in page
    assert all(command["line"] in page for command in advice["commands"])
    errors = ActionErrors.load(out / "action_error.json")
    assert {arm: e.shape for arm, e in errors.errors.items()} == {
        arm: (1, 3) for arm in ("successes", "selected", "random", "all")
    }
    cameras = Checkpoint.load(out / "runs" / "pb-kl-all" / "seed-0").config.views
    assert cameras == (("overhead",) if name == "pictures" else ())
    for path in out.rglob("*.safetensors"):
        path.unlink()


def test_it_says_before_it_starts_what_it_will_do_and_again_that_it_is_done(
    made_datasets: Path, tmp_path: Path
) -> None:
    flags = (*TINY, "--count", "1", "--cameras", "--out", tmp_path / "out")
    first = done("triage", made_datasets / "lift", *flags)
    said = first.err.index("1 run to rank by, then 12 to cross-validate, 2 steps each")
    assert first.err.index("Not used  observation.images.overhead\n") < said
    *_, (at, last) = [(m.start(), m[0]) for m in re.finditer(r"\d+/13 .*", first.err)]
    assert said < at
    assert re.fullmatch(r"13/13 train .+, part \d of 3 held out, seed 0", last)
    again = done("triage", made_datasets / "lift", *flags)
    assert (again.err, again.out) == ("  All of this is done already.\n", first.out)
    (tmp_path / "out" / "selection.json").touch()
    assert "already" not in done("triage", made_datasets / "lift", *flags).err


def test_every_success_is_held_out_once(made_datasets: Path, tmp_path: Path) -> None:
    recipe = replace(SMOKE, train=replace(SMOKE.train, steps=2, warmup=0), seeds=(0,))
    found = outtakes.triage(str(made_datasets / "blind"), str(tmp_path), recipe=recipe, count=1)
    assert found.recommendation.again and found.report == tmp_path / "report.html"
    seen = [
        Checkpoint.load(tmp_path / "runs" / f"fold-{i}" / "successes" / "seed-0").episodes
        for i in range(FOLDS)
    ]
    assert sorted(e for fold in seen for e in fold) == [0, 0, 2, 2, 4, 4]
    for i in range(FOLDS):
        everything = Checkpoint.load(tmp_path / "runs" / f"fold-{i}" / "all" / "seed-0").episodes
        assert everything == tuple(sorted({*seen[i], 1, 3, 5}))


def test_the_action_error_is_that_of_the_frames_that_exist(tmp_path: Path) -> None:
    demos = make_demos()
    agent = train_small(tmp_path / "run", demos).agent()
    demo = demos[0]
    raw = {
        "observation.state": demo.state,
        "observation.environment_state": demo.environment_state,
    }
    scale = np.array([2.0, 0.5])
    total, count = 0.0, 0
    for t in range(len(demo)):
        first = {name: array[:1] for name, array in raw.items()}
        now = {name: array[t : t + 1] for name, array in raw.items()}
        (chunk,) = agent.predict(now, agent.begin(first))
        for k in range(min(agent.chunk, len(demo) - t)):
            total += np.abs((chunk[k] - demo.action[t + k]) / scale).mean()
            count += 1
    assert errors_along(agent, demo, scale).mean() == pytest.approx(total / count, rel=1e-4)


def test_a_better_arm_has_a_lower_error(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    base = rng.normal(1.0, 0.1, (5, 12))
    errors = ActionErrors.of(
        {"successes": base, "selected": base - 0.2, "random": base + rng.normal(0, 0.1, (5, 12))}
    )
    assert errors.differences["selected"].difference == pytest.approx(-0.2)
    assert errors.adjusted_p["selected"] < 0.05 < errors.adjusted_p["random"]
    errors.save(tmp_path / "action_error.json")
    again = ActionErrors.load(tmp_path / "action_error.json")
    assert again.differences == errors.differences


def test_garbled_action_errors(tmp_path: Path) -> None:
    path = tmp_path / "action_error.json"
    path.write_text('{"kind": "action-error", "version": 1, "errors": {"all": [[1, 2]]}}')
    with pytest.raises(ArtifactError, match="triage again"):
        ActionErrors.load(path)


def test_too_few_successes_to_hold_some_out(made_datasets: Path, tmp_path: Path) -> None:
    line = refused("triage", made_datasets / "two", *TINY, "--out", tmp_path / "out")
    assert "2 successes are too few" in line and "at least 3" in line
    assert fingerprint(tmp_path) == {}

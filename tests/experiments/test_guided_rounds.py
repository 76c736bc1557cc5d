"""AFIL's loop in miniature: failures of its own, rounds that go on, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from outtakes import api
from outtakes.data.demo import DemoSet
from outtakes.data.lerobot.read import read_dataset
from outtakes.data.reading import Reading
from outtakes.errors import ArtifactError, ConfigError, UnknownName
from outtakes.evaluation.comparison import Comparison
from outtakes.evaluation.rollouts import RolloutLog
from outtakes.experiments.guided_rounds import LATENCY, AfilPlan, guided_rounds
from outtakes.experiments.lab import Lab
from outtakes.experiments.runs import ROLLOUTS, run_folder
from outtakes.policy.checkpoint import Checkpoint
from outtakes.sim.initial_states import InitialStates, Stream
from tests.experiments.small import SMALL

PLAN = AfilPlan(count=2, alphas=(0.5,))
BLIND = Reading(cameras=())


@pytest.fixture(scope="module")
def demos(made_datasets: Path) -> DemoSet:
    return api.load(made_datasets / "lift", recipe=SMALL, reading=BLIND)


@pytest.fixture(scope="module")
def begun(demos: DemoSet, tmp_path_factory: pytest.TempPathFactory) -> tuple[Lab, Comparison]:
    """One round."""
    recipe = replace(SMALL, seeds=(0,))
    lab = Lab(recipe, tmp_path_factory.mktemp("rounds"), reading=BLIND)
    (found,) = guided_rounds(lab, demos, PLAN)
    return lab, found


def test_a_round_learns_from_failures_of_its_own(
    begun: tuple[Lab, Comparison], demos: DemoSet
) -> None:
    lab, found = begun
    own = read_dataset(lab.out / "round-1" / "dataset", Reading())
    assert own.successes.tolist() == [True, True, True, False, False]
    kept = demos.subset([0, 2, 4])
    for before, after in zip(kept, own, strict=False):
        assert np.array_equal(before.state, after.state)
        assert np.array_equal(before.action, after.action)
    assert own.lengths[3:].tolist() == [6, 6]  # its horizon; the median success has 18 frames
    assert (found.baseline, found.treatment) == ("flow-s", "afil (adaptive-0.5)")
    assert set(found.rates) == {
        *("flow-s", "flow-s-twice", "flow-all", "flow-finish", "cfgrl-all"),
        *("afil (adaptive-0.5)", "afil (matched-0.5)", "afil (adaptive-0)"),
        "afil-s (adaptive-0.5)",
    }
    latency = json.loads((lab.out / "round-1" / LATENCY).read_text())["milliseconds"]
    assert set(latency) == set(found.rates) and min(latency.values()) > 0


def test_nothing_is_learnt_from_a_state_of_evaluation(begun: tuple[Lab, Comparison]) -> None:
    lab, _ = begun
    log = RolloutLog.load(lab.out / "round-1" / ROLLOUTS)
    assert {r.drawn_from for r in log.rollouts} == {"evaluate/0"}
    words = {stream.word for stream in Stream}
    assert len(words) == len(Stream)
    one, other = (InitialStates(s, 0).rng(0).random() for s in (Stream.PRACTISE, Stream.EVALUATE))
    assert one != other


def test_more_rounds_go_on_where_the_first_ended(
    begun: tuple[Lab, Comparison], demos: DemoSet
) -> None:
    lab, first = begun
    before = {p: p.stat().st_mtime_ns for p in (lab.out / "round-1").rglob("*.safetensors")}
    again, second = guided_rounds(lab, demos, replace(PLAN, rounds=2))
    assert again == first
    assert before == {p: p.stat().st_mtime_ns for p in before}
    own = read_dataset(lab.out / "round-2" / "dataset", Reading())
    assert own.successes.tolist() == [True] * 3 + [False] * 4
    assert second.treatment == first.treatment
    run = Checkpoint.load(run_folder(lab.out / "round-2", "afil", 0))
    assert run.episodes == tuple(range(7))


def test_what_cannot_work_is_refused(begun: tuple[Lab, Comparison], demos: DemoSet) -> None:
    lab, _ = begun
    with pytest.raises(ArtifactError, match="begun with another count"):
        guided_rounds(lab, demos, replace(PLAN, count=3))
    with pytest.raises(ConfigError, match="do one round"):
        AfilPlan("demonstrated", rounds=2)
    with pytest.raises(UnknownName, match="demonstrated"):
        AfilPlan("others")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="0 rounds"):
        AfilPlan(rounds=0)

"""What an experiment was is written down as it was."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from outtakes.data.demo import Provenance
from outtakes.data.reading import Reading
from outtakes.experiments.arm import act_arm, bias_arm
from outtakes.experiments.folder import SETUP, Setup
from outtakes.experiments.lab import Lab
from outtakes.experiments.recipes import SMOKE, on_task
from outtakes.experiments.setting_up import write_setup, write_simulated_setup
from tests.demos import make_demos


def test_a_setup_is_read_as_it_was_written(tmp_path: Path) -> None:
    demos = replace(make_demos(3, 2), provenance=Provenance(skipped={7: "damaged", 9: "short"}))
    reading = Reading(cameras=["top"], outcome_from="next.success", skip_bad=True)
    lab = Lab(replace(SMOKE, seeds=(4, 5)), tmp_path, reading=reading)
    with lab.timed("train"):
        pass
    write_setup(
        lab, demos, title="a test", dataset=Path("/somewhere"), labels={"act": "ACT"},
        paper={"act": "71"}, retrained="pb",
    )  # fmt: skip
    found = Setup.load(tmp_path / SETUP)
    assert found.reading == replace(reading, image_size=SMOKE.image_size)
    assert (found.dataset, found.seed, found.retrained) == (Path("/somewhere"), 4, "pb")
    assert (found.labels, found.paper) == ({"act": "ACT"}, {"act": "71"})
    told = dict(found.provenance)
    assert told["Dataset"].startswith("made up: 3 successes, 2 failures, ")
    assert f"{int(demos.lengths.sum())} frames at 20 Hz" in told["Dataset"]
    assert told["Left out as corrupt"] == "episode 7: damaged; episode 9: short"
    assert told["Recipe"] == f"smoke: 60 steps, batch {SMOKE.train.batch_size}"
    assert told["Training seeds"] == "4, 5" and told["Time taken"].startswith("train ")


@pytest.mark.parametrize(
    ("task", "words", "paper"), [("lift", "Lift", "71.0"), ("pick-place-can", "Pick place can", "")]
)
def test_a_simulated_task_is_named_and_the_papers_numbers_are_lifts(
    task: str, words: str, paper: str, tmp_path: Path
) -> None:
    lab = Lab(on_task(SMOKE, task), tmp_path)
    arms = [
        act_arm(SMOKE, "act", "ACT", [0], paper="71.0"),
        bias_arm(SMOKE, "pb", "PB", [0], paper="74.2"),
    ]
    write_simulated_setup(lab, make_demos(), "a test", "pb", arms)
    found = Setup.load(tmp_path / SETUP)
    assert found.title == f"a test on {words}"
    assert dict(found.labels) == {
        "act": "ACT", "pb (nearest)": "PB, nearest PB", "pb (mean)": "PB, mean PB",
    }  # fmt: skip
    assert found.paper.get("act", "") == paper and "pb (mean)" not in found.paper

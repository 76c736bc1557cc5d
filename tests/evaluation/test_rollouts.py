import os
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from outtakes.errors import ArtifactError, MachineError
from outtakes.evaluation.rollouts import Rollout, RolloutLog
from tests.disk import full_after


def make_log(arm: str = "act-pb/low") -> RolloutLog:
    return RolloutLog(
        [
            Rollout(
                arm=arm,
                seed=seed,
                initial_state=state,
                success=(seed + state) % 3 == 0,
                steps=9,
                retrieved_episode=4,
                drawn_from="evaluate/0",
            )
            for seed in (1, 0)
            for state in (2, 0, 1)
        ]
    )


def test_a_log_comes_back_as_it_was(tmp_path):
    make_log().save(tmp_path / "rollouts.parquet")
    assert RolloutLog.load(tmp_path / "rollouts.parquet") == make_log()
    assert os.listdir(tmp_path) == ["rollouts.parquet"]


def test_any_reader_of_parquet_can_use_it(tmp_path):
    make_log().save(tmp_path / "rollouts.parquet")
    table = pq.read_table(tmp_path / "rollouts.parquet")
    assert table.num_rows == 6
    assert table.schema.names == [
        "arm",
        "steering",
        "seed",
        "initial_state",
        "success",
        "steps",
        "retrieved_episode",
        "drawn_from",
    ]


def test_outcomes_are_in_the_order_of_the_initial_states():
    outcomes = make_log().outcomes()
    assert outcomes["act-pb/low"][0].tolist() == [True, False, False]
    assert outcomes["act-pb/low"][1].tolist() == [False, False, True]


def test_logs_of_different_arms_merge():
    merged = make_log().merged(make_log("act"))
    assert set(merged.outcomes()) == {"act-pb/low", "act"}
    assert len(merged.rollouts) == 12


def test_rollouts_from_other_initial_states_are_not_compared():
    tuned = [replace(rollout, drawn_from="tune/0") for rollout in make_log("act").rollouts]
    mixed = make_log().merged(RolloutLog(tuned))
    with pytest.raises(ArtifactError, match="different initial states: evaluate/0, tune/0"):
        mixed.outcomes()


def test_a_log_older_than_the_streams_is_still_read(tmp_path):
    path = tmp_path / "rollouts.parquet"
    make_log().save(path)
    pq.write_table(pq.read_table(path).drop_columns(["drawn_from"]), path)
    assert {rollout.drawn_from for rollout in RolloutLog.load(path).rollouts} == {""}


def test_one_rollout_twice_is_refused():
    with pytest.raises(ArtifactError, match=r"appears twice.*empty folder"):
        make_log().merged(make_log())


def damage_columns(path) -> None:
    pq.write_table(pa.table({"arm": ["act"], "seed": [0]}), path)


@pytest.mark.parametrize(
    "damage",
    [
        damage_columns,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"garbage" * 100),
        lambda path: path.write_bytes(path.read_bytes()[:-50]),
        lambda path: path.write_bytes(path.read_bytes()[:50] + path.read_bytes()[150:]),
    ],
)
def test_a_damaged_file_is_refused_in_one_line(tmp_path, damage):
    path = tmp_path / "rollouts.parquet"
    make_log().save(path)
    damage(path)
    with pytest.raises(ArtifactError, match="cannot read the rollouts") as error:
        RolloutLog.load(path)
    assert error.value.where == path
    assert "\n" not in str(error.value)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ArtifactError, match=r"no rollouts.*evaluate first"):
        RolloutLog.load(tmp_path / "rollouts.parquet")


def test_a_full_disk_keeps_the_previous_log(tmp_path):
    path = tmp_path / "rollouts.parquet"
    make_log().save(path)
    with full_after(100), pytest.raises(MachineError, match="no space left"):
        make_log("act").save(path)
    assert RolloutLog.load(path) == make_log()
    assert os.listdir(tmp_path) == ["rollouts.parquet"]

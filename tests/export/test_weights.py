"""Weights follow the selection and the ranking, and a sampler takes them."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outtakes.data.demo import DemoSet, Outcome
from outtakes.errors import ArtifactError
from outtakes.ranking.scores import FailureScore, Scores
from outtakes.selection.select import Selection, select
from outtakes.selection.weights import weigh
from tests.demos import make_demos
from tests.ranking.rankings import make_scores

FORMATS = Path(__file__).parents[2] / "docs" / "formats.md"


def ranking(demos: DemoSet, k: list[float]) -> Scores:
    failures = demos.episodes(Outcome.FAILURE)
    scored = [FailureScore(e, {0: v}, [v], 0) for e, v in zip(failures, k, strict=True)]
    return replace(make_scores(), failures=scored, content_hash=demos.content_hash)


def low(demos: DemoSet, scores: Scores, count: int) -> Selection:
    return select(scores, demos.episodes(Outcome.SUCCESS), keep="low", count=count)


@given(
    k=st.lists(st.floats(0, 1e3), min_size=1, max_size=12),
    data=st.data(),
)
def test_nearer_failures_weigh_no_less_and_dropped_ones_nothing(k: list[float], data) -> None:
    demos = make_demos(successes=2, failures=len(k))
    scores = ranking(demos, k)
    count = data.draw(st.integers(1, len(k)))
    rows = weigh(demos, low(demos, scores, count), scores)
    assert [row.episode for row in rows] == demos.episode_indices.tolist()
    by_rank = sorted((row for row in rows if row.rank), key=lambda row: row.rank or 0)
    assert [row.rank for row in by_rank] == list(range(1, len(k) + 1))
    weights = [row.weight for row in by_rank]
    assert weights == sorted(weights, reverse=True) and weights[0] == 1
    assert all(weight > 0 for weight in weights[:count])
    assert all(row.weight == 0 and row.exported is None for row in by_rank[count:])
    ks = [row.score for row in by_rank]
    assert ks == sorted(k)
    assert all(
        (row.weight, row.score) == (1, None) for row in rows if row.outcome == Outcome.SUCCESS
    )


def test_without_scores_what_is_kept_weighs_one() -> None:
    demos = make_demos()
    selection = low(demos, ranking(demos, [3.0, 1.0, 2.0]), 2)
    rows = weigh(demos, selection, None)
    assert {row.episode: row.weight for row in rows} == {
        int(e): float(e in selection.kept) for e in demos.episode_indices
    }
    assert [row.exported for row in rows if row.weight] == [0, 1, 2, 3, 4]
    assert {(row.score, row.rank) for row in rows} == {(None, None)}


def test_a_kept_failure_that_nobody_ranked_is_refused() -> None:
    demos = make_demos()
    scores = ranking(demos, [3.0, 1.0, 2.0])
    fewer = replace(scores, failures=scores.failures[1:])
    missing = scores.failures[0].episode
    with pytest.raises(ArtifactError, match=f"do not rank episode {missing}"):
        weigh(demos, low(demos, scores, 3), fewer)


def test_the_file_holds_what_the_documentation_says(exported: tuple[Path, dict]) -> None:
    table = pq.read_table(exported[0] / "weights.parquet")
    documented = re.search(r"## `weights.parquet`\n(.*?)\n## ", FORMATS.read_text(), re.DOTALL)
    assert documented
    names = re.findall(r"^\| `(\w+)` \| (\w+)", documented[1], re.MULTILINE)
    types = {"int64": "int64", "string": "string", "float64": "double"}
    assert [(n, types[t]) for n, t in names] == [(f.name, str(f.type)) for f in table.schema]
    assert table["weight"].to_pylist() == [1, 1, 1, 1]
    assert table["episode_index"].to_pylist() == [0, 1, 2, 3]
    assert table["source_episode"].to_pylist() == [0, 2, 3, 5]


def test_the_documented_sampler_draws_kept_episodes_alone(
    exported: tuple[Path, dict], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", FORMATS.read_text(), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    Path("DIR").symlink_to(exported[0])
    names: dict = {}
    exec(compile(code, str(FORMATS), "exec"), names)
    drawn = {int(names["dataset"].hf_dataset[i]["episode_index"]) for i in names["sampler"]}
    assert drawn == {0, 1, 2, 3}

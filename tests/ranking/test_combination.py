"""Several rankers as one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata

from outtakes.api import rank
from outtakes.errors import ConfigError, DatasetError, UnknownName
from outtakes.ranking.attention.attention_rank import AttentionRankRanker
from outtakes.ranking.attention.scoring import AttentionRanker
from outtakes.ranking.combination import chosen_rankers, combine, parse
from outtakes.ranking.measure import End
from outtakes.ranking.ranks import ranks
from outtakes.ranking.scores import Scores
from tests.demos import make_demos, small_act, train_small
from tests.ranking.rankings import make_scores


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=9))
def test_ranks_are_those_of_scipy(values):
    assert np.array_equal(ranks(np.array(values, float)), rankdata(values))


def test_a_combination_is_the_weighted_mean_of_places():
    near, far = make_scores((3.0, 1.0, 2.0)), make_scores((5.0, 0.1, 0.2))
    far = replace(far, measure=replace(far.measure, key="far", useful=End.HIGH))
    found = combine([near, far], [1, 3])
    assert [f.mean for f in found.failures] == [(3 + 3) / 4, (1 + 9) / 4, (2 + 6) / 4]
    assert [f.episode for f in found.ranked()] == [0, 2, 1]
    assert found.measure.key == "attention,far=3"
    around = combine([near, far], [1, -1])
    assert [f.mean for f in around.failures] == [(3 - 1) / 2, (1 - 3) / 2, (2 - 2) / 2]


def test_what_is_combined_does_not_depend_on_the_scale_of_a_ranker():
    scores, other = make_scores((3.0, 1.0, 2.0)), make_scores((1.0, 2.0, 3.0))
    loud = make_scores((300.0, 100.0, 200.0))
    assert combine([scores, other], [1, 1]).failures == combine([loud, other], [1, 1]).failures


def test_rankings_of_different_episodes_do_not_combine():
    for other in (make_scores((1.0, 2.0)), replace(make_scores(), successes=[100])):
        with pytest.raises(DatasetError, match="different episodes"):
            combine([make_scores(), other], [1, 1])


@pytest.mark.parametrize("by", ["coverage=", "coverage,length=2,random=-0.5"])
def test_names_and_weights_are_read(by):
    parts = parse(by)
    assert [p.ranker.measure.key for p in parts] == [e.split("=")[0] for e in by.split(",")]
    assert [p.weight for p in parts] == ([1.0] if by.endswith("=") else [1.0, 2.0, -0.5])


@pytest.mark.parametrize("by", ["coverage=0", "coverage=much", "length=nan", "length,length"])
def test_what_is_no_combination_is_refused(by):
    with pytest.raises(ConfigError):
        parse(by)


def test_an_unknown_ranker_in_a_combination_is_refused_by_name():
    with pytest.raises(UnknownName, match="lenght"):
        parse("coverage,lenght")


def test_each_ranker_takes_the_runs_of_its_kind(tmp_path):
    demos = make_demos()
    alone = demos.subset(demos.episode_indices[demos.successes].tolist())
    biased = small_act(condition="pb")
    runs = [
        train_small(tmp_path / "pb", demos, policy=biased),
        train_small(tmp_path / "act", alone, policy=small_act(condition="none")),
    ]
    names = ("attention", "action-error", "coverage")
    single = [
        rank([run], demos, by=name) for run, name in zip([*runs, runs[1]], names, strict=True)
    ]
    found = rank(runs, demos, by=",".join(names))
    assert found.failures == combine(single, [1, 1, 1]).failures
    with pytest.raises(ConfigError, match="no run to rank by action-error"):
        rank(runs[:1], demos, by="attention,action-error")


def test_ranks_within_seeds_count_every_seed_alike(tmp_path):
    demos = make_demos()
    run = train_small(tmp_path, demos, policy=small_act(condition="pb"))
    raw = AttentionRanker().score(run, demos)
    own = AttentionRankRanker().score(run, demos)
    assert np.array_equal(own.values, rankdata(raw.values))
    loud = replace(own, seed=1, values=4 - own.values)
    measure = AttentionRankRanker.measure
    both = Scores.of(measure, [own, loud], demos.name, demos.content_hash)
    assert {f.mean for f in both.failures} == {2.0}


def test_rankers_are_found_by_name_with_their_weights_and_sample_when_they_can() -> None:
    sampling, other = chosen_rankers("attention=2,length", 70)
    assert isinstance(sampling.ranker, AttentionRanker) and sampling.ranker.pairs == 70
    assert (sampling.weight, other.weight, other.ranker.measure.key) == (2, 1, "length")
    own = AttentionRanker(30)
    assert [part.ranker for part in chosen_rankers(own)] == [own]
    with pytest.raises(ConfigError, match="pairs to rank by action-error"):
        chosen_rankers("action-error", 70)
    with pytest.raises(UnknownName, match="did you mean 'attention'"):
        chosen_rankers("atention")

import json
from dataclasses import replace

import pytest

from outtakes.errors import ArtifactError, ConfigError, UnknownName
from outtakes.ranking.measure import End
from outtakes.selection.select import Choice, Selection, select
from tests.ranking.rankings import SUCCESSES, make_scores

RANKING = [6, 1, 3, 4, 2, 0, 5]


def kept_failures(**settings) -> list[int]:
    selection = select(make_scores(), SUCCESSES, **settings)
    assert set(SUCCESSES) <= set(selection.kept)
    assert sorted(selection.kept + selection.dropped) == [*range(7), *SUCCESSES]
    return [episode for episode in selection.kept if episode not in SUCCESSES]


@pytest.mark.parametrize(
    ("keep", "count", "expected"),
    [
        ("low", 2, RANKING[:2]),
        ("mid", 3, RANKING[2:5]),
        ("mid", 2, RANKING[2:4]),
        ("high", 2, RANKING[5:]),
        ("low", 7, RANKING),
        ("mid", 7, RANKING),
        ("high", 1, [5]),
    ],
)
def test_part_of_the_ranking_is_kept(keep, count, expected):
    assert kept_failures(keep=keep, count=count) == sorted(expected)


def test_the_best_are_at_the_end_that_a_measure_says_is_useful():
    kept = {}
    for end in End:
        scores = make_scores()
        scores = replace(scores, measure=replace(scores.measure, useful=end))
        for keep in ("best", "worst", "low", "high"):
            chosen = set(select(scores, SUCCESSES, keep=keep, count=2).kept) - set(SUCCESSES)
            kept[end, keep] = chosen
    assert kept[End.LOW, "best"] == kept[End.HIGH, "worst"] == set(RANKING[:2])
    assert kept[End.HIGH, "best"] == kept[End.LOW, "worst"] == set(RANKING[5:])
    assert kept[End.HIGH, "low"] == kept[End.LOW, "low"] == set(RANKING[:2])
    assert kept[End.HIGH, "high"] == kept[End.LOW, "high"] == set(RANKING[5:])


@pytest.mark.parametrize(("threshold", "expected"), [(0.1, []), (2.0, [6, 1, 3]), (99, RANKING)])
def test_everything_up_to_a_threshold_is_kept_whatever_the_count(threshold, expected):
    assert kept_failures(keep="below", threshold=threshold, count=0) == sorted(expected)


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_random_folds_are_disjoint_and_cover(count):
    folds = [kept_failures(keep="random", count=count, fold=f) for f in range(7 // count)]
    drawn = [episode for fold in folds for episode in fold]
    assert all(len(fold) == count for fold in folds)
    assert len(set(drawn)) == len(drawn) == 7 // count * count


def test_random_folds_depend_on_the_seed_and_not_on_the_ranking():
    folds = {tuple(kept_failures(keep="random", count=3, seed=seed)) for seed in range(10)}
    assert len(folds) > 3
    reversed_ranking = make_scores((1.0, 6.0, 2.0, 5.0, 4.0, 0.5, 9.0))
    again = select(reversed_ranking, SUCCESSES, keep="random", count=3)
    assert [e for e in again.kept if e not in SUCCESSES] == kept_failures(keep="random", count=3)


def test_every_decision_says_why():
    choices = {c.episode: c for c in select(make_scores(), SUCCESSES, count=2).choices}
    assert choices[100] == Choice(100, True, "success")
    reason = "failure, rank {} of 7 by attention divergence (K̄ {} nats), {}among the 2 ranked first"
    assert choices[1] == Choice(1, True, reason.format(2, 1, ""))
    assert choices[5] == Choice(5, False, reason.format(7, 6, "not "))
    assert list(choices) == sorted(choices)


def test_the_episode_list_is_what_lerobot_train_takes():
    selection = select(make_scores(), SUCCESSES, count=2)
    assert selection.as_lerobot_argument() == "--dataset.episodes=[1,6,100,101,102]"


def test_a_selection_comes_back_as_it_was(tmp_path):
    selection = select(make_scores(), SUCCESSES, keep="mid", count=3)
    selection.save(tmp_path / "selection.json")
    assert Selection.load(tmp_path / "selection.json") == selection
    content = json.loads((tmp_path / "selection.json").read_text())
    assert content["kept"] == selection.kept
    assert content["lerobot_argument"] == selection.as_lerobot_argument()


@pytest.mark.parametrize("keep", ["low", "mid", "high", "random"])
@pytest.mark.parametrize("count", [-1, 0, 8])
def test_a_count_that_cannot_be_kept_is_refused(keep, count):
    with pytest.raises(ConfigError, match=rf"cannot keep {count} of 7.*between 1 and 7"):
        select(make_scores(), SUCCESSES, keep=keep, count=count)


@pytest.mark.parametrize("fold", [-1, 3])
def test_a_fold_that_is_not_there_is_refused(fold):
    with pytest.raises(ConfigError, match=rf"no random fold {fold}.*from 0 to 2"):
        select(make_scores(), SUCCESSES, keep="random", count=2, fold=fold)


def test_an_unknown_rule_is_refused_with_the_nearest_one():
    with pytest.raises(UnknownName, match=r"'lowest': did you mean 'low'\? choose one of below"):
        select(make_scores(), SUCCESSES, keep="lowest")


def test_below_needs_a_threshold():
    with pytest.raises(ConfigError, match="give --threshold"):
        select(make_scores(), SUCCESSES, keep="below")


def test_an_episode_that_is_success_and_failure_is_refused():
    with pytest.raises(ArtifactError, match="decided on twice"):
        select(make_scores(), [0, *SUCCESSES], count=2)


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content.pop("kept"),
        lambda content: content.update(dropped=None),
        lambda content: content.update(kept=["six"]),
        lambda content: content["reasons"].pop("100"),
        lambda content: content.update(reasons=[]),
        lambda content: content["dropped"].append(content["kept"][0]),
        lambda content: content.update(version=0),
    ],
)
def test_a_damaged_file_is_refused_in_one_line(tmp_path, damage):
    path = tmp_path / "selection.json"
    select(make_scores(), SUCCESSES, count=2).save(path)
    content = json.loads(path.read_text())
    damage(content)
    path.write_text(json.dumps(content))
    with pytest.raises(ArtifactError) as error:
        Selection.load(path)
    assert "\n" not in str(error.value)

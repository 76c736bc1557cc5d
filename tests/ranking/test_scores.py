import json
from dataclasses import replace

import pytest

from outtakes.errors import ArtifactError
from outtakes.ranking.measure import End
from outtakes.ranking.scores import FailureScore, Scores
from tests.ranking.rankings import make_scores


def test_the_ranking_goes_from_near_to_far_and_ties_by_episode():
    assert [f.episode for f in make_scores().ranked()] == [6, 1, 3, 4, 2, 0, 5]
    assert [f.episode for f in make_scores((1.0, 0.5, 0.5)).ranked()] == [1, 2, 0]


def test_scores_come_back_as_they_were(tmp_path):
    make_scores().save(tmp_path / "scores.json")
    loaded = Scores.load(tmp_path / "scores.json")
    assert loaded == make_scores()
    loaded.save(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_text() == (tmp_path / "scores.json").read_text()


def test_one_seed_has_no_agreement_and_comes_back_so(tmp_path):
    one_seed = [FailureScore(0, {4: 1.0}, [1.0], 100)]
    scores = replace(make_scores(), failures=one_seed, kendall_tau=None)
    scores.save(tmp_path / "scores.json")
    assert Scores.load(tmp_path / "scores.json") == scores
    assert scores.seeds == [4]


def test_the_file_says_the_score_in_total_and_per_success(tmp_path):
    make_scores().save(tmp_path / "scores.json")
    first = json.loads((tmp_path / "scores.json").read_text())["failures"][0]
    assert first["score"] == pytest.approx(5.0)
    assert first["per_success"] == pytest.approx(5.0 / 3)


@pytest.mark.parametrize("seeds", [[{0: 1.0}, {1: 1.0}], [{0: 1.0}, {0: 1.0, 1: 1.0}], [{}], []])
def test_failures_scored_by_different_seeds_are_refused(seeds):
    failures = [FailureScore(i, per_seed, [1.0], 100) for i, per_seed in enumerate(seeds)]
    with pytest.raises(ArtifactError, match="different seeds"):
        replace(make_scores(), failures=failures)


def test_a_score_that_is_not_finite_is_refused_with_its_episode():
    with pytest.raises(ArtifactError, match="episode 1 is not finite"):
        make_scores((1.0, float("nan"), 2.0))


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content.pop("failures"),
        lambda content: content.pop("successes"),
        lambda content: content["failures"][0].pop("episode"),
        lambda content: content["failures"][0].update(per_seed=[1.0, 2.0]),
        lambda content: content["failures"][0].update(per_seed={"zero": 1.0}),
        lambda content: content["failures"][0].update(over_time=None),
        lambda content: content.update(successes=["many"]),
        lambda content: content.update(failures=[]),
        lambda content: content.update(failures="none"),
        lambda content: content["plane"].update(points=[[1, 2]]),
        lambda content: content.update(version=99),
        lambda content: content.update(kind="selection"),
    ],
)
def test_a_damaged_file_is_refused_in_one_line(tmp_path, damage):
    path = tmp_path / "scores.json"
    make_scores().save(path)
    content = json.loads(path.read_text())
    damage(content)
    path.write_text(json.dumps(content))
    with pytest.raises(ArtifactError) as error:
        Scores.load(path)
    assert "\n" not in str(error.value)


def test_a_file_of_version_1_is_still_read(tmp_path):
    path = tmp_path / "scores.json"
    make_scores().save(path)
    content = json.loads(path.read_text())
    plane, successes = content.pop("plane"), content.pop("successes")
    del content["measure"]
    points = [*plane["points"], *([s, True, 0.0, 0.0] for s in successes if s != 100)]
    old = {**content, "version": 1, "n_successes": len(successes), "bias_map": points}
    for failure in old["failures"]:
        failure["k"], failure["k_standard_error"] = failure.pop("score"), 0.25
    path.write_text(json.dumps(old))
    loaded = Scores.load(path)
    assert loaded.measure == make_scores().measure
    assert loaded.successes == make_scores().successes
    assert [f.per_seed for f in loaded.ranked()] == [f.per_seed for f in make_scores().ranked()]
    assert {f.standard_error for f in loaded.failures} == {0.25}


@pytest.mark.parametrize(("low_is_near", "useful"), [(True, End.LOW), (False, End.HIGH)])
def test_a_file_from_before_rankings_had_a_useful_end_is_still_read(tmp_path, low_is_near, useful):
    path = tmp_path / "scores.json"
    make_scores().save(path)
    content = json.loads(path.read_text())
    del content["measure"]["useful"]
    content["measure"]["low_is_near"] = low_is_near
    path.write_text(json.dumps(content))
    assert Scores.load(path).measure == replace(make_scores().measure, useful=useful)


def test_a_truncated_or_missing_file_is_refused(tmp_path):
    path = tmp_path / "scores.json"
    with pytest.raises(ArtifactError, match="no scores file"):
        Scores.load(path)
    make_scores().save(path)
    path.write_text(path.read_text()[:200])
    with pytest.raises(ArtifactError, match="cannot read"):
        Scores.load(path)

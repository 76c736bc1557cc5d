from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outtakes.errors import ConfigError
from outtakes.sim.collect import CollectConfig, simulate_attempt
from outtakes.sim.environment import Environment, make_environment
from outtakes.sim.initial_states import InitialStates, Stream

TASKS = ("lift", "stack", "door", "metaworld-push-v3")
EVALUATION = InitialStates(Stream.EVALUATE, seed=0)
SEEDS = st.integers(0, 2**64 - 1)
NUMBERS = st.integers(0, 2**32 - 1)


@pytest.fixture(scope="module", params=TASKS)
def task(request) -> Environment:
    return make_environment(request.param)


def states(task: Environment, stream: Stream, seed: int, count: int = 50) -> set[bytes]:
    drawn = InitialStates(stream, seed).first(task, count)
    return {state.tobytes() for state in drawn}


@pytest.mark.parametrize("seed", [0, 1, 1001])
def test_no_state_of_one_stream_is_one_of_another(task, seed):
    drawn = [states(task, stream, seed) for stream in Stream]
    assert all(len(own) == 50 for own in drawn)
    assert not any(one & other for one, other in combinations(drawn, 2))


def test_no_evaluation_state_is_where_an_attempt_started(task):
    tested = states(task, Stream.EVALUATE, 0, count=100)
    for seed in (0, 1):
        config = CollectConfig(environment=task.name, seed=seed, cameras=())
        starts = {simulate_attempt(config, task, i).initial_state.tobytes() for i in range(3)}
        assert starts <= states(task, Stream.COLLECT, seed, count=3)
        assert not starts & tested


@settings(max_examples=500)
@given(SEEDS, NUMBERS, SEEDS, NUMBERS)
def test_streams_do_not_meet_whatever_their_seeds(seed, number, other_seed, other_number):
    # The seed sequences of two streams differ in their first word; their draws are compared here.
    draws = [
        InitialStates(stream, s).rng(n).integers(2**63, size=2).tobytes()
        for stream in Stream
        for s, n in {(seed, number), (other_seed, other_number)}
    ]
    assert len(set(draws)) == len(draws)


@pytest.mark.parametrize("stream", Stream)
def test_a_seed_that_is_a_streams_own_word_leads_nowhere_else(stream):
    draws = {
        InitialStates(one, seed).rng(number).integers(2**63)
        for one in Stream
        for seed in (stream.word, 0)
        for number in (stream.word, 0)
    }
    assert len(draws) == 4 * len(Stream)


def test_fewer_initial_states_are_the_first_of_more(task):
    many = EVALUATION.first(task, 12)
    assert np.array_equal(EVALUATION.first(make_environment(task.name), 4), many[:4])
    assert len(np.unique(many, axis=0)) == 12
    assert not np.array_equal(InitialStates(Stream.EVALUATE, 6).first(task, 4), many[:4])


def test_no_rollouts_are_refused(task):
    with pytest.raises(ConfigError, match="0 rollouts: ask for at least 1"):
        EVALUATION.first(task, 0)


def test_a_negative_seed_is_refused():
    with pytest.raises(ConfigError, match="seed -1: give a seed of 0 or more"):
        InitialStates(Stream.TUNE, -1)

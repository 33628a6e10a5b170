import numpy as np
import pytest

from lunar_offline.training.replay_buffer import ReplayBuffer
from lunar_offline.transitions import Transitions, transition_dtype

DTYPE = transition_dtype((2,), (), np.int64)


def add(buffer: ReplayBuffer, mark: int, *, truncated: bool = False) -> None:
    observation = np.array([mark, mark])
    buffer.add(observation, mark, mark, observation + 1, terminated=False, truncated=truncated)


def test_the_ring_overwrites_the_oldest() -> None:
    buffer = ReplayBuffer(4, DTYPE)
    for mark in range(6):
        add(buffer, mark)
    assert sorted(buffer.records["actions"].tolist()) == [2, 3, 4, 5]
    assert buffer.cursor == 2
    # the wrap tears no transition apart: s' of a row is its own, not the next row's
    assert (buffer.records["next_observations"] == buffer.records["observations"] + 1).all()


def test_a_truncated_row_keeps_its_true_next_observation() -> None:
    buffer = ReplayBuffer(4, DTYPE)
    add(buffer, 7, truncated=True)
    add(buffer, 0)
    assert buffer.records["next_observations"][0].tolist() == [8, 8]
    assert buffer.records["truncations"].tolist() == [True, False]
    assert not buffer.records["terminations"].any()


def test_online_rows_lose_the_offline_mark() -> None:
    buffer = ReplayBuffer(3, DTYPE)
    offline = np.zeros(5, DTYPE)
    offline["actions"] = range(5)
    buffer.extend(Transitions(offline))
    assert sorted(buffer.records["actions"].tolist()) == [2, 3, 4]
    add(buffer, 9)
    assert buffer.offline.tolist() == [False, True, True]


def test_restore_is_the_inverse_and_checks() -> None:
    buffer = ReplayBuffer(4, DTYPE)
    for mark in range(6):
        add(buffer, mark)
    other = ReplayBuffer(4, DTYPE)
    other.restore(buffer.records.copy(), buffer.offline.copy(), buffer.cursor)
    add(buffer, 6)
    add(other, 6)
    assert np.array_equal(buffer.records, other.records)
    with pytest.raises(ValueError, match="do not fit"):
        ReplayBuffer(3, DTYPE).restore(buffer.records, buffer.offline, 0)
    with pytest.raises(ValueError, match="inconsistent"):
        other.restore(buffer.records, buffer.offline, 4)

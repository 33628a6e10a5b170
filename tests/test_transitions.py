import numpy as np
import pytest

from lunar_offline.transitions import Episode, Transitions, transition_dtype


def marked_episode(number: int, steps: int, *, terminated: bool) -> Episode:
    """Observation t of episode e is 100 e + t in every entry; action and reward are t."""
    flags = np.zeros((2, steps), dtype=bool)
    flags[0 if terminated else 1, -1] = True
    marks = 100.0 * number + np.arange(steps + 1, dtype=np.float32)
    return Episode(
        observations=np.repeat(marks[:, None], 8, axis=1),
        actions=np.arange(steps, dtype=np.int64) % 4,
        rewards=np.arange(steps, dtype=np.float64),
        terminations=flags[0],
        truncations=flags[1],
        seed=number,
    )


EPISODES = [
    marked_episode(1, 3, terminated=True),
    marked_episode(2, 1, terminated=False),
    marked_episode(3, 4, terminated=False),
]


def test_no_step_leaks_across_episodes() -> None:
    t = Transitions.from_episodes(EPISODES)
    assert t.observations[:, 0].tolist() == [100, 101, 102, 200, 300, 301, 302, 303]
    assert t.next_observations[:, 0].tolist() == [101, 102, 103, 201, 301, 302, 303, 304]
    assert t.rewards.tolist() == [0, 1, 2, 0, 0, 1, 2, 3]
    assert t.terminations.tolist() == [0, 0, 1, 0, 0, 0, 0, 0]
    assert t.truncations.tolist() == [0, 0, 0, 1, 0, 0, 0, 1]
    assert t.episode_ends().tolist() == [3, 4, 8]


def test_first_episodes_are_views() -> None:
    t = Transitions.from_episodes(EPISODES)
    assert [len(t.first_episodes(n)) for n in range(4)] == [0, 3, 4, 8]
    assert np.shares_memory(t.first_episodes(2).records, t.records)
    with pytest.raises(ValueError, match="4 episodes requested, 3 available"):
        t.first_episodes(4)


def test_an_episode_shows_itself() -> None:
    assert repr(EPISODES[0]) == "Episode(seed=1, steps=3, return=3.0, terminated)"


def test_nothing_to_lay_out_is_an_error() -> None:
    with pytest.raises(ValueError, match="no episode"):
        Transitions.from_episodes([])


def test_returns_stop_at_the_ends_of_episodes() -> None:
    """Three episodes: two that end by themselves, one that a time limit cuts."""
    records = np.zeros(6, transition_dtype((1,), (), np.int64))
    records["rewards"] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0]
    records["terminations"][[1, 5]] = True
    records["truncations"][3] = True
    returns = Transitions(records).returns(0.5)
    assert returns.tolist() == [2.0, 2.0, -np.inf, -np.inf, 32.0, 32.0]

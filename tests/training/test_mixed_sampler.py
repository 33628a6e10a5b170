import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lunar_offline.errors import UsageError
from lunar_offline.seeding import Purpose, generator
from lunar_offline.training.mixed_sampler import MixedSampler, SharedBufferSampler
from lunar_offline.training.replay_buffer import ReplayBuffer
from lunar_offline.training.rho import buffer_mode_episodes, split_batch
from lunar_offline.transitions import Transitions, transition_dtype

DTYPE = transition_dtype((8,), (), np.int64)


def marked(rows: int, mark: float) -> Transitions:
    """Rows whose reward says where they came from and whose observation says which they are."""
    records = np.zeros(rows, DTYPE)
    records["rewards"] = mark
    records["observations"] = np.arange(rows)[:, None]
    return Transitions(records)


@pytest.mark.parametrize(
    ("rho", "expected"),
    [(0, 0), (0.2, 51), (0.25, 64), (0.5, 128), (0.6, 154), (0.75, 192), (0.9, 230), (1, 256)],
)
def test_split_by_hand(rho: float, expected: int) -> None:
    assert split_batch(rho, 256) == (expected, 256 - expected)


def test_a_tenth_of_ten_is_one_row() -> None:
    # int((1 - 0.9) * 10) is 0: a known bug elsewhere
    assert split_batch(0.9, 10) == (9, 1)


@given(st.floats(0, 1), st.integers(1, 4096))
def test_split_adds_up_and_is_nearest(rho: float, batch_size: int) -> None:
    try:
        n_offline, n_online = split_batch(rho, batch_size)
    except UsageError:
        assert 0 < rho < 1
        assert min(rho, 1 - rho) * batch_size <= 0.5 + 1e-9
        return
    assert n_offline + n_online == batch_size
    assert min(n_offline, n_online) >= 0
    assert abs(n_offline - rho * batch_size) <= 0.5 + 1e-9
    assert (n_offline == 0) == (rho == 0)
    assert (n_online == 0) == (rho == 1)


@pytest.mark.parametrize("rho", [-0.1, 1.1, float("nan"), float("inf")])
def test_rho_outside_its_range(rho: float) -> None:
    with pytest.raises(UsageError, match=r"outside 0 \.\. 1"):
        split_batch(rho, 256)


@pytest.mark.parametrize(("rho", "batch_size"), [(0.001, 256), (0.999, 256), (0.4, 1)])
def test_an_impossible_share_is_refused(rho: float, batch_size: int) -> None:
    with pytest.raises(UsageError, match="use a larger batch"):
        split_batch(rho, batch_size)


@pytest.mark.parametrize("rho", [0.2, 0.25, 0.5, 0.6, 0.75])
def test_every_batch_holds_its_share(rho: float) -> None:
    offline, replay = marked(50, 1.0), ReplayBuffer(100, DTYPE)
    for _ in range(3):  # a nearly empty replay buffer does not change the share
        replay.add(np.zeros(8), 0, 2.0, np.zeros(8), terminated=False, truncated=False)
    counts = split_batch(rho, 64)
    sampler = MixedSampler(((offline, counts[0]), (replay, counts[1])), DTYPE)
    for step in range(50):
        batch = sampler.sample(generator(0, Purpose.BATCH, step))
        assert batch.n_offline == counts[0]
        assert (batch.transitions.rewards[: counts[0]] == 1.0).all()
        assert (batch.transitions.rewards[counts[0] :] == 2.0).all()


def test_rows_are_drawn_uniformly_and_by_counter() -> None:
    sampler = MixedSampler(((marked(10, 1.0), 1_000),), DTYPE)
    first = sampler.sample(generator(0, Purpose.BATCH, 7)).transitions.observations[:, 0].copy()
    again = sampler.sample(generator(0, Purpose.BATCH, 7)).transitions.observations[:, 0].copy()
    assert np.array_equal(first, again)
    counts = np.bincount(first.astype(int), minlength=10)
    assert ((counts - 100) ** 2 / 100).sum() < 27.9  # chi square, 9 degrees, p = 0.001


def test_the_rows_of_a_batch_stay_what_they_are() -> None:
    # a run that goes on after an update of this package must draw what it would have drawn
    offline, replay = marked(1_000, 1.0), ReplayBuffer(70, DTYPE)
    replay.extend(marked(50, 2.0))
    sampler = MixedSampler(((offline, 5), (replay, 3)), DTYPE)
    for step, rows in (
        (0, [764, 571, 476, 689, 976, 20, 5, 4]),
        (123_456, [943, 431, 418, 814, 30, 34, 15, 33]),
    ):
        batch = sampler.sample(generator(4, Purpose.BATCH, step))
        assert batch.transitions.observations[:, 0].astype(int).tolist() == rows
        assert batch.offline_rows is not None
        assert batch.offline_rows.tolist() == rows[:5]


def test_a_source_without_a_share_is_never_read() -> None:
    class Untouchable:
        @property
        def records(self) -> np.ndarray:
            raise AssertionError("read")

    sampler = MixedSampler(((marked(5, 1.0), 8), (Untouchable(), 0)), DTYPE)
    assert (sampler.sample(generator(0, Purpose.BATCH)).transitions.rewards == 1.0).all()


def test_an_empty_source_says_so() -> None:
    sampler = MixedSampler(((marked(0, 1.0), 8),), DTYPE)
    with pytest.raises(ValueError, match="empty"):
        sampler.sample(generator(0, Purpose.BATCH))


@pytest.mark.parametrize(
    ("rho", "episodes"), [(0.2, 50), (0.44, 157), (0.57, 265), (0.66, 388), (0.75, 600), (0.6, 300)]
)
def test_the_papers_episode_counts(rho: float, episodes: int) -> None:
    assert buffer_mode_episodes(rho, 200) == episodes


@pytest.mark.parametrize(
    ("n", "percent"), [(50, 20), (160, 44), (270, 57), (380, 66), (490, 71), (600, 75), (710, 78)]
)
def test_the_papers_shares_come_back(n: int, percent: int) -> None:
    assert round(100 * n / (n + 200)) == percent
    assert buffer_mode_episodes(n / (n + 200), 200) == n


@pytest.mark.parametrize("rho", [0.0, 1.0, 0.001])
def test_buffer_mode_needs_both_kinds(rho: float) -> None:
    with pytest.raises(UsageError):
        buffer_mode_episodes(rho, 200)


def test_a_shared_buffer_puts_offline_rows_first() -> None:
    buffer = ReplayBuffer(100, DTYPE)
    buffer.extend(marked(40, 1.0))
    for _ in range(60):
        buffer.add(np.zeros(8), 0, 2.0, np.zeros(8), terminated=False, truncated=False)
    sampler = SharedBufferSampler(buffer, 64)
    shares = []
    for step in range(200):
        batch, n_offline, _ = sampler.sample(generator(0, Purpose.BATCH, step))
        assert (batch.rewards[:n_offline] == 1.0).all()
        assert (batch.rewards[n_offline:] == 2.0).all()
        shares.append(n_offline / 64)
    assert np.mean(shares) == pytest.approx(0.4, abs=0.015)


def test_preferred_rows_are_drawn_in_proportion_and_shares_stay_exact() -> None:
    offline, online = marked(4, 0.0), marked(3, 100.0)
    sampler = MixedSampler(((offline, 600), (online, 400)), offline.records.dtype)
    sampler.prefer(np.array([0.0, 1.0, 0.0, 3.0]))
    batch, n_offline, rows = sampler.sample(generator(0, Purpose.BATCH))
    assert n_offline == 600
    assert rows is not None
    assert set(rows) == {1, 3}
    assert (rows == 3).mean() == pytest.approx(0.75, abs=0.06)
    assert (batch.rewards[600:] >= 100.0).all()

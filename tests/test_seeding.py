import numpy as np
import pytest

from lunar_offline.errors import UsageError
from lunar_offline.seeding import Purpose, Stream, episode_seed, generator


def test_a_stream_is_a_function_of_its_three_keys() -> None:
    first = generator(1, Purpose.BATCH, 5).random(4)
    assert np.array_equal(first, generator(1, Purpose.BATCH, 5).random(4))
    for other in (
        generator(2, Purpose.BATCH, 5),
        generator(1, Purpose.UPDATE_NOISE, 5),
        generator(1, Purpose.BATCH, 6),
    ):
        assert not np.intersect1d(first, other.random(10_000)).size


def test_philox_matches_a_reference_vector() -> None:
    # Random123's known answer for philox4x64-10 with key and counter all zero; NumPy increments the
    # counter before its first block, so the block for counter 0 is the one after counter 2**256 - 1
    last = np.full(4, 2**64 - 1, dtype=np.uint64)
    philox = np.random.Philox(key=np.zeros(2, dtype=np.uint64), counter=last)
    assert [hex(int(v)) for v in philox.random_raw(4)] == [
        "0x16554d9eca36314c",
        "0xdb20fe9d672d0fdc",
        "0xd7e772cee186176b",
        "0x7e68b68aec7ba23b",
    ]


def test_a_stream_gives_the_bits_of_its_generators() -> None:
    stream = Stream(3, Purpose.BATCH)
    for counter in (5, 0, 6, 5, 2**40):
        one, other = generator(3, Purpose.BATCH, counter), stream.at(counter)
        assert np.array_equal(one.integers(7, size=3), other.integers(7, size=3))  # half a word
        assert np.array_equal(one.random(9), other.random(9))


def test_the_numbers_of_published_artifacts_stay() -> None:
    seeds = [episode_seed(0, Purpose.EVALUATION_EPISODE, e) for e in range(3)]
    assert seeds == [7638784092286822, 108268341292736, 3539280474147530]
    assert [p.value for p in Purpose] == list(range(1, 16))


def test_held_out_seeds_never_train_or_choose() -> None:
    streams = [
        {episode_seed(0, purpose, e) for e in range(2_000)}
        for purpose in (
            Purpose.TRAINING_EPISODE,
            Purpose.VALIDATION_EPISODE,
            Purpose.EVALUATION_EPISODE,
            Purpose.COLLECTION_EPISODE,
        )
    ]
    assert len(set.union(*streams)) == 8_000


@pytest.mark.parametrize("seed", [-1, 2**63])
def test_a_seed_out_of_range_is_refused(seed: int) -> None:
    with pytest.raises(UsageError, match=r"seed .* outside"):
        generator(seed, Purpose.BATCH)

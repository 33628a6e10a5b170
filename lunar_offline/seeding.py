"""Counted random numbers: (seed, purpose, counter) -> an independent generator.

Every random number of the project comes from Philox 4x64 (Salmon et al. 2011, "Parallel random
numbers: as easy as 1, 2, 3"). The key is the user's seed and a purpose; the counter is the update
step or the episode's index. No generator state is carried over between draws, so a resumed run, or
a collection with another number of workers, draws the same numbers.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Any

from lunar_offline.errors import UsageError

if TYPE_CHECKING:
    import numpy as np


class Purpose(IntEnum):
    """The purpose of a stream. Every dataset and run depends on the values: never renumber them."""

    INITIALIZATION = 1
    BATCH = 2
    UPDATE_NOISE = 3
    TRAINING_EPISODE = 4
    TRAINING_ACTION = 5
    VALIDATION_EPISODE = 6
    VALIDATION_ACTION = 7
    EVALUATION_EPISODE = 8
    EVALUATION_ACTION = 9
    COLLECTION_EPISODE = 10
    COLLECTION_ACTION = 11
    BOOTSTRAP = 12
    CRITIC_SUBSET = 13
    DIAGNOSIS = 14
    DENSITY = 15


def check_seed(seed: int) -> None:
    """Raise UsageError unless 0 <= seed < 2**63."""
    if not 0 <= seed < 2**63:
        raise UsageError(f"seed {seed} is outside 0 .. 2**63 - 1")


def generator(seed: int, purpose: Purpose, counter: int = 0) -> np.random.Generator:
    """Return a generator at position `counter` of the stream (seed, purpose).

    The counter fills the second word of Philox's 256-bit counter, so two neighboring generators are
    2**64 blocks apart. Raises UsageError for a seed outside 0 .. 2**63 - 1.
    """
    import numpy as np  # a slow import, which the command line's help does without

    check_seed(seed)
    key = np.array([seed, int(purpose)], dtype=np.uint64)
    position = np.array([0, counter, 0, 0], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=position))


class Stream:
    """The generators of one stream, for code that needs many of them, one after the other.

    `at` gives the same numbers as `generator` in a tenth of the time, because it moves a single bit
    generator to the counter instead of making a new one.

    Args:
        seed: root seed.
        purpose: purpose of the draws.
    """

    def __init__(self, seed: int, purpose: Purpose) -> None:
        self._generator = generator(seed, purpose)
        start: Any = self._generator.bit_generator.state
        # plain integers: NumPy would first make an object of each element of an array
        self._position = [0, 0, 0, 0]
        inner = {"counter": self._position, "key": start["state"]["key"].tolist()}
        self._state = {**start, "state": inner, "buffer": start["buffer"].tolist()}

    def at(self, counter: int) -> np.random.Generator:
        """Return the generator at position `counter`; it is valid until the next call."""
        self._position[1] = counter
        self._generator.bit_generator.state = self._state
        return self._generator


def episode_seed(seed: int, purpose: Purpose, episode: int) -> int:
    """Return the env seed of episode `episode`, an integer below 2**53, exact in JSON."""
    return int(generator(seed, purpose, episode).integers(2**53))

"""Counted random numbers: (seed, purpose, counter) -> an independent generator.

Every draw of the project comes from Philox 4x64 (Salmon et al. 2011, "Parallel random numbers: as
easy as 1, 2, 3"), keyed by the user's seed and a purpose, and placed at a counter: the update step,
or the episode's index. No generator state is ever carried along, so a resumed run, or a collection
with another number of workers, draws the same numbers.
"""

from enum import IntEnum
from typing import Any

import numpy as np

from lunar_offline.errors import UsageError


class Purpose(IntEnum):
    """What a stream is for. The values are part of every artifact: never renumber them."""

    INITIALISATION = 1
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


def check_seed(seed: int) -> int:
    """Return `seed`, or raise UsageError unless 0 <= seed < 2**63."""
    if not 0 <= seed < 2**63:
        raise UsageError(f"seed {seed} is outside 0 .. 2**63 - 1")
    return seed


def generator(seed: int, purpose: Purpose, counter: int = 0) -> np.random.Generator:
    """Make the generator that stands at `counter` of the stream (seed, purpose).

    The counter fills the second word of Philox's 256-bit counter, so two neighbouring generators
    are 2**64 blocks apart.
    """
    key = np.array([check_seed(seed), int(purpose)], dtype=np.uint64)
    position = np.array([0, counter, 0, 0], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=position))


class Stream:
    """Generators of one stream, for when many are needed one after the other.

    `at` gives the bits of `generator` in a tenth of its time: it moves one bit generator about.

    Args:
        seed: root seed.
        purpose: of the draws.
    """

    def __init__(self, seed: int, purpose: Purpose) -> None:
        self._generator = generator(seed, purpose)
        start: Any = self._generator.bit_generator.state
        # plain integers: of arrays, each element would be made an object first
        self._position = [0, 0, 0, 0]
        inner = {"counter": self._position, "key": start["state"]["key"].tolist()}
        self._state = {**start, "state": inner, "buffer": start["buffer"].tolist()}

    def at(self, counter: int) -> np.random.Generator:
        """Return the generator that stands at `counter`; it is good until the next call."""
        self._position[1] = counter
        self._generator.bit_generator.state = self._state
        return self._generator


def episode_seed(seed: int, purpose: Purpose, episode: int) -> int:
    """Return the env seed of episode `episode`: an integer below 2**53, exact in JSON too."""
    return int(generator(seed, purpose, episode).integers(2**53))

"""The request to the process that reads an untrusted dataset, and the fields of an episode."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lunar_offline.transitions import transition_dtype


class Request(NamedTuple):
    """The request to convert a dataset to a cache file.

    Attributes:
        format: `hdf5` or `arrow`.
        data: path of the file or folder to read.
        out: path of the cache file to write.
        key: key of the cache file.
        episodes: the required number of episodes.
        steps: the required number of env steps of all episodes.
        observation_size: length of an observation.
        actions: number of discrete actions; 0 for continuous actions between `low` and `high`.
        low: lower bounds of a continuous action, which are mapped to -1.
        high: upper bounds of a continuous action, which are mapped to 1.
        seconds: limit on the CPU time; see `sandbox.limited`.
        memory: limit in bytes on the address space, in addition to that in use before reading.
    """

    format: str
    data: str
    out: str
    key: str
    episodes: int
    steps: int
    observation_size: int
    actions: int
    low: list[float]
    high: list[float]
    seconds: int = 0
    memory: int = 0

    @property
    def dtype(self) -> np.dtype:
        """The structured dtype of a record."""
        shape, kind = ((), np.int64) if self.actions else ((len(self.low),), np.float32)
        return transition_dtype((self.observation_size,), shape, kind)

    @property
    def rows_bytes(self) -> int:
        """The bytes of all records and of the separate float64 rewards."""
        return self.steps * (self.dtype.itemsize + 8)


class Raw(NamedTuple):
    """The fields of one episode as they are stored in the file, of any dtype."""

    observations: NDArray[Any]
    actions: NDArray[Any]
    rewards: NDArray[Any]
    terminations: NDArray[Any]
    truncations: NDArray[Any]
    seed: int

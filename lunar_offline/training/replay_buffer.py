"""The ring buffer of online transitions."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lunar_offline.transitions import Transitions


class ReplayBuffer:
    """A ring buffer of the newest `capacity` transitions; the oldest is overwritten first.

    Example:
        >>> import lunar_offline as lo
        >>> rows = lo.load_dataset("lunar-random-v0").transitions
        >>> replay = lo.ReplayBuffer(100, rows.records.dtype)
        >>> replay.extend(rows)
        >>> len(replay)
        100

    Args:
        capacity: largest number of rows.
        dtype: `transition_dtype(...)` of the env.

    Attributes:
        size: number of filled rows.
        cursor: the row that is written next.
    """

    def __init__(self, capacity: int, dtype: np.dtype) -> None:
        self._records = np.zeros(capacity, dtype)
        self._offline = np.zeros(capacity, dtype=np.bool_)
        self.size = 0
        self.cursor = 0

    def __len__(self) -> int:
        return self.size

    @property
    def capacity(self) -> int:
        """Largest number of rows."""
        return len(self._records)

    @property
    def records(self) -> NDArray[np.void]:
        """The filled rows, in storage order: [size]."""
        return self._records[: self.size]

    @property
    def offline(self) -> NDArray[np.bool_]:
        """Whether each filled row is from a dataset (`extend`): bool [size]."""
        return self._offline[: self.size]

    def add(
        self,
        observation: ArrayLike,
        action: ArrayLike,
        reward: float,
        next_observation: ArrayLike,
        *,
        terminated: bool,
        truncated: bool,
    ) -> None:
        """Add one online transition."""
        row = (observation, next_observation, action, reward, terminated, truncated)
        self._records[self.cursor] = row
        self._offline[self.cursor] = False
        self.cursor = (self.cursor + 1) % self.capacity
        self.size = min(self.size + 1, self.capacity)

    def extend(self, transitions: Transitions) -> None:
        """Add dataset rows, marked as offline; of more than `capacity` rows, the last are kept."""
        records = transitions.records[-self.capacity :]
        rows = (self.cursor + np.arange(len(records))) % self.capacity
        self._records[rows] = records
        self._offline[rows] = True
        self.cursor = int((self.cursor + len(records)) % self.capacity)
        self.size = min(self.size + len(records), self.capacity)

    def restore(self, records: NDArray[np.void], offline: NDArray[np.bool_], cursor: int) -> None:
        """Restore the values of `records`, `offline` and `cursor`.

        Raises:
            ValueError: there are more rows than the capacity, the dtype differs, or the cursor is
                invalid.
        """
        if len(records) > self.capacity or records.dtype != self._records.dtype:
            raise ValueError("the replay contents do not fit this buffer")
        written_next = range(self.capacity) if len(records) == self.capacity else (len(records),)
        if len(offline) != len(records) or cursor not in written_next:
            raise ValueError("the replay contents are inconsistent")
        self.size, self.cursor = len(records), cursor
        self._records[: self.size] = records
        self._offline[: self.size] = offline

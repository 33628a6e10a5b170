"""Batches with an exact number of offline rows: rho is resolved to two integers."""

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from lunar_offline.training.replay_buffer import ReplayBuffer
from lunar_offline.transitions import Transitions


class Source(Protocol):
    """A source of rows, such as Transitions or a ReplayBuffer."""

    @property
    def records(self) -> NDArray[np.void]:
        """The rows that may be drawn, [N]."""
        ...


class MixedBatch(NamedTuple):
    """A batch whose first `n_offline` rows are from the dataset.

    Attributes:
        transitions: the rows.
        n_offline: number of rows from the dataset.
        offline_rows: indices of those rows in the dataset, int64 [n_offline]; None if there are
            none, or if they are unknown, as in a shared buffer.
    """

    transitions: Transitions
    n_offline: int
    offline_rows: NDArray[np.int64] | None


class MixedSampler:
    """Draws exactly `count` rows, uniformly with replacement, from each (source, count) pair.

    The rows of a batch have the order of the pairs. A source with count 0 is never accessed.

    Example:
        >>> import numpy as np
        >>> import lunar_offline as lo
        >>> rows = lo.load_dataset("lunar-random-v0").transitions
        >>> replay = lo.ReplayBuffer(100, rows.records.dtype)
        >>> replay.extend(rows)
        >>> sampler = lo.MixedSampler(((rows, 154), (replay, 102)), rows.records.dtype)
        >>> batch = sampler.sample(np.random.default_rng(0))
        >>> batch.n_offline, len(batch.transitions)
        (154, 256)

    Args:
        pairs: (source, count); the first source is the dataset.
        dtype: of the rows.
    """

    def __init__(self, pairs: tuple[tuple[Source, int], ...], dtype: np.dtype) -> None:
        size = sum(count for _, count in pairs)
        self._n_offline = pairs[0][1]
        self._batch = Transitions(np.empty(size, dtype))
        self._uniform, self._lengths = np.empty(size), np.empty(size)
        # treat rows as plain bytes, because `take` on structured rows is slow for large sources
        self._row = np.dtype((np.void, dtype.itemsize))
        out = self._batch.records.view(self._row)
        self._parts: list[tuple[Source, slice, NDArray[np.void]]] = []
        end = 0
        for source, count in pairs:
            part = slice(end, end + count)
            end = part.stop
            if count:
                self._parts.append((source, part, out[part]))
        self._priorities: NDArray[np.float64] | None = None

    def prefer(self, priorities: NDArray[np.float64]) -> None:
        """Draw offline rows in proportion to priorities [N] instead of uniformly."""
        self._priorities = np.cumsum(priorities)

    def sample(self, rng: np.random.Generator) -> MixedBatch:
        """Draw one batch, in a buffer that the next call overwrites.

        Raises:
            ValueError: a source is empty.
        """
        all_records = [source.records for source, _, _ in self._parts]
        for records, (_, part, _) in zip(all_records, self._parts, strict=True):
            if len(records) == 0:
                raise ValueError("a source of the mix is empty")
            self._lengths[part] = len(records)
        # one draw for all sources, because each call of `integers` has an overhead of 8 us
        uniform = rng.random(out=self._uniform)
        rows = (uniform * self._lengths).astype(np.int64)
        offline_rows = rows[: self._n_offline]
        if self._priorities is not None:
            sums = self._priorities
            offline_rows[:] = sums.searchsorted(uniform[: self._n_offline] * sums[-1], side="right")
        for records, (_, part, out) in zip(all_records, self._parts, strict=True):
            records.view(self._row).take(rows[part], out=out, mode="clip")
        return MixedBatch(self._batch, self._n_offline, offline_rows if self._n_offline else None)


class SharedBufferSampler:
    """Draws uniformly from one buffer that holds offline and online rows (the paper's layout).

    The number of offline rows in a batch is random; these rows come first.

    Args:
        buffer: holds both kinds of rows.
        batch_size: rows per batch.
    """

    def __init__(self, buffer: ReplayBuffer, batch_size: int) -> None:
        self._buffer, self._batch_size = buffer, batch_size

    def sample(self, rng: np.random.Generator) -> MixedBatch:
        """Draw one batch. Raises ValueError when the buffer is empty."""
        if len(self._buffer) == 0:
            raise ValueError("the shared buffer is empty")
        rows = rng.integers(len(self._buffer), size=self._batch_size)
        offline = self._buffer.offline[rows]
        rows = np.concatenate([rows[offline], rows[~offline]])
        return MixedBatch(Transitions(self._buffer.records[rows]), int(offline.sum()), None)

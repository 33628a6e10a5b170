"""Batches with an exact share of offline rows: rho is two integers."""

import math
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from lunar_offline.data.replay import ReplayBuffer
from lunar_offline.errors import UsageError
from lunar_offline.transitions import Transitions


def check_rho(rho: float) -> float:
    """Return rho, or raise UsageError unless 0 <= rho <= 1."""
    if not (math.isfinite(rho) and 0.0 <= rho <= 1.0):
        raise UsageError(f"rho {rho} is outside 0 .. 1 (it is the offline fraction of a batch)")
    return rho


def split_batch(rho: float, batch_size: int) -> tuple[int, int]:
    """Split a batch into (n_offline, n_online), adding up to `batch_size` exactly.

    n_offline is rho * batch_size rounded to the nearest integer, halves up.

    Raises:
        UsageError: rho is outside [0, 1], or 0 < rho < 1 would give no row to either side.
    """
    check_rho(rho)
    n_offline = math.floor(rho * batch_size + 0.5)
    n_online = batch_size - n_offline
    if 0.0 < rho < 1.0 and 0 in (n_offline, n_online):
        raise UsageError(
            f"rho {rho} of a batch of {batch_size} is {n_offline} offline and {n_online} online "
            f"rows; use a larger batch, or rho {round(rho)}"
        )
    return n_offline, n_online


def buffer_mode_episodes(rho: float, online_episodes: int) -> int:
    """Return how many offline episodes make up rho of all episodes, offline and online.

    The paper's meaning of rho (section 3.3): n / (n + online) = rho, with one shared buffer.

    Raises:
        UsageError: rho is not in (0, 1), or the nearest whole number of episodes is 0.
    """
    check_rho(rho)
    if rho in (0.0, 1.0):
        raise UsageError("--rho-mode buffer needs 0 < rho < 1: it mixes both kinds of episodes")
    n = math.floor(rho / (1.0 - rho) * online_episodes + 0.5)
    if n == 0:
        raise UsageError(f"rho {rho} of {online_episodes} online episodes is no offline episode")
    return n


class Source(Protocol):
    """Anything with rows: Transitions, a ReplayBuffer."""

    @property
    def records(self) -> NDArray[Any]:
        """The rows that may be drawn, [N]."""
        ...


class MixedBatch(NamedTuple):
    """A batch whose first `n_offline` rows came from the dataset.

    Attributes:
        transitions: the rows.
        n_offline: how many came from the dataset.
        offline_rows: which of the dataset's rows those are, [n_offline]; None where that is not
            known, in a shared buffer.
    """

    transitions: Transitions
    n_offline: int
    offline_rows: NDArray[np.int64] | None


class MixedSampler:
    """Draws exactly `count` rows, uniformly with replacement, from each (source, count) pair.

    Rows stand in the order of the pairs. A source with count 0 is never looked at.

    Args:
        pairs: (source, count); the first is the offline one.
        dtype: of the rows.
    """

    def __init__(self, pairs: tuple[tuple[Source, int], ...], dtype: np.dtype) -> None:
        size = sum(count for _, count in pairs)
        self._n_offline = pairs[0][1]
        self._batch = Transitions(np.empty(size, dtype))
        self._uniform, self._lengths = np.empty(size), np.empty(size)
        # rows as mere bytes: a record's fields cost `take` time, the more the larger the source
        self._row = np.dtype((np.void, dtype.itemsize))
        out = self._batch.records.view(self._row)
        self._parts: list[tuple[Source, slice, NDArray[Any]]] = []
        end = 0
        for source, count in pairs:
            part = slice(end, end + count)
            end = part.stop
            if count:
                self._parts.append((source, part, out[part]))
        self._priorities: NDArray[np.float64] | None = None

    def prefer(self, priorities: NDArray[np.float64]) -> None:
        """Draw offline rows in proportion to these from now on, instead of uniformly; [N]."""
        self._priorities = np.cumsum(priorities)

    def sample(self, rng: np.random.Generator) -> MixedBatch:
        """Draw one batch. It stands in a buffer that the next call overwrites.

        Raises:
            ValueError: a source is empty.
        """
        all_records = [source.records for source, _, _ in self._parts]
        for records, (_, part, _) in zip(all_records, self._parts, strict=True):
            if len(records) == 0:
                raise ValueError("a source of the mix is empty")
            self._lengths[part] = len(records)
        # one draw for all, and not a call of `integers` for each source, whose start costs 8 us
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

    The offline share of a batch is whatever was drawn; offline rows are put first.

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

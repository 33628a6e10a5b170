"""Reads the data files of a stranger's dataset, in a process of its own; see `sandbox`.

It takes a request as JSON on stdin, gives itself limits, reads and checks everything, writes the
flat cache, and answers with JSON on stdout. HDF5 and Arrow crash on some damaged files; here that
ends this process alone. Imports only what reading needs.
"""

import json
import resource
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lunar_offline.data.flat import NO_SEED, FlatWriter
from lunar_offline.errors import RefusedError
from lunar_offline.files import one_line
from lunar_offline.transitions import Episode, fill_records, transition_dtype


class Request(NamedTuple):
    """What is to be read, and as what.

    Attributes:
        format: `hdf5` or `arrow`.
        data: the file or folder.
        out: where the cache is to be written.
        key: the cache's.
        episodes: how many there must be.
        steps: how many those must have.
        observation_size: of a vector.
        actions: how many discrete ones; 0 for a vector between `low` and `high`.
        low: bounds of a continuous action; they become -1 and 1.
        high: the same.
        seconds: of CPU time that this may take; see `sandbox.limited`.
        memory: bytes of address space that it may take beyond what it has when it starts to read.
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
        """Of a record."""
        shape, kind = ((), np.int64) if self.actions else ((len(self.low),), np.float32)
        return transition_dtype((self.observation_size,), shape, kind)

    @property
    def rows_bytes(self) -> int:
        """Of all records, and of the rewards beside them."""
        return self.steps * (self.dtype.itemsize + 8)


class Raw(NamedTuple):
    """One episode's fields as they stand in the file, of any dtype."""

    observations: NDArray[Any]
    actions: NDArray[Any]
    rewards: NDArray[Any]
    terminations: NDArray[Any]
    truncations: NDArray[Any]
    seed: int


def main() -> None:
    """Answer the request on stdin."""
    request = Request(**json.load(sys.stdin))
    if request.format == "hdf5":
        from lunar_offline.data import strict_hdf5 as reader
    else:
        from lunar_offline.data import strict_arrow as reader
    _limit(request)
    try:
        _convert(request, reader.read)
        answer = {}
    except (RefusedError, ValueError, KeyError, TypeError) as error:
        answer = {"refused": one_line(error)}
    except MemoryError:
        answer = {"refused": "needs more memory than data of its size may"}
    except OSError as error:
        failed = error.filename in (None, request.out) and error.errno is not None
        answer = {"failed" if failed else "refused": one_line(error)}
    print(json.dumps(answer), flush=True)


def _limit(request: Request) -> None:
    """Let this process take no more time, memory and disk than the request says."""
    written = request.rows_bytes + request.episodes * 16 + (1 << 20)
    for what, most in (
        (resource.RLIMIT_CPU, request.seconds),  # SIGXCPU, and a second later SIGKILL
        (resource.RLIMIT_AS, _address_space() + request.memory),
        (resource.RLIMIT_FSIZE, written),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(what)[1]
        spare = most + (what == resource.RLIMIT_CPU)
        if hard != resource.RLIM_INFINITY:
            most, spare = min(most, hard), min(spare, hard)
        resource.setrlimit(what, (most, spare))


def _address_space() -> int:
    """Return the bytes that this process has reserved; outside Linux, more than it may have."""
    try:
        pages = int(Path("/proc/self/statm").read_bytes().split()[0])
    except OSError:
        return 1 << 30
    return pages * resource.getpagesize()


def _convert(request: Request, read: Callable[[Request], Iterator[Raw]]) -> None:
    with Path(request.out).open("wb+") as file:
        writer = FlatWriter(file, request.dtype, request.steps)
        for index, raw in enumerate(read(request)):
            try:
                episode = checked(raw, request)
                records = np.zeros(len(episode), request.dtype)
                fill_records(records, [episode])
                seed = NO_SEED if episode.seed is None else episode.seed
                writer.add(records, episode.rewards, seed)
            except (ValueError, TypeError) as error:
                raise ValueError(f"episode_{index}: {one_line(error)}") from None
        writer.finish(request.key)


def checked(raw: Raw, request: Request) -> Episode:
    """Convert an episode to what learners see.

    Raises:
        ValueError: a field has another kind, shape or value than it may.
    """
    t = len(raw.rewards)
    if t == 0:
        raise ValueError("no step")
    observations = _field(raw, "observations", "f", (t + 1, request.observation_size))
    rewards = _field(raw, "rewards", "f", (t,)).astype(np.float64)
    flags = [_field(raw, name, "b", (t,)) for name in ("terminations", "truncations")]
    if request.actions:
        actions = _field(raw, "actions", "iu", (t,))
        if not ((actions >= 0) & (actions < request.actions)).all():
            raise ValueError("an action is out of range")
        actions = actions.astype(np.int64)
    else:
        actions = _scaled(_field(raw, "actions", "f", (t, len(request.low))), request)
    with np.errstate(over="ignore"):  # a float64 beyond float32 is refused below
        observations = observations.astype(np.float32)
        finite = np.isfinite(observations).all() and np.isfinite(rewards.astype(np.float32)).all()
    if not finite:
        raise ValueError("a value is not finite")
    ends = flags[0] | flags[1]
    if ends[:-1].any() or not ends[-1]:
        raise ValueError("its end flags are not at its last step alone")
    seed = None if raw.seed == NO_SEED else raw.seed
    return Episode(observations, actions, rewards, flags[0], flags[1], seed)


def _field(raw: Raw, name: str, kinds: str, shape: tuple[int, ...]) -> NDArray[Any]:
    value: NDArray[Any] = getattr(raw, name)
    if value.dtype.kind not in kinds or value.dtype == np.float16:
        raise ValueError(f"{name} is of type {value.dtype}")
    if value.shape != shape:
        raise ValueError(f"{name} has shape {value.shape}, not {shape}")
    return value


def _scaled(actions: NDArray[Any], request: Request) -> NDArray[np.float32]:
    """Map actions from the env's bounds to [-1, 1]."""
    low, high = np.array(request.low), np.array(request.high)
    if not ((actions >= low) & (actions <= high)).all():
        raise ValueError("an action is out of range")
    if (low == -1.0).all() and (high == 1.0).all():
        return actions.astype(np.float32)
    scaled = 2.0 * (actions.astype(np.float64) - low) / (high - low) - 1.0
    return np.clip(scaled, -1.0, 1.0).astype(np.float32)

"""Read the data files of an untrusted dataset in a separate process; see `sandbox`.

The process receives a request as JSON on stdin, limits its own resources, reads and checks the
data, writes the flat cache, and answers with JSON on stdout. HDF5 and Arrow crash on some damaged
files; such a crash ends only this process. The module imports only what reading needs.
"""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lunar_offline.datasets.cache import FlatWriter
from lunar_offline.datasets.readers.limits import check_memory, set_limits
from lunar_offline.datasets.readers.request import Raw, Request
from lunar_offline.errors import RefusedError
from lunar_offline.storage.plain_text import one_line
from lunar_offline.transitions import Episode, fill_records

EPISODES_PER_CHECK = 32


def main() -> None:
    """Answer the request on stdin."""
    request = Request(**json.load(sys.stdin))
    if request.format == "hdf5":
        from lunar_offline.datasets.readers import hdf5 as reader
    else:
        from lunar_offline.datasets.readers import arrow as reader
    set_limits(request)
    try:
        _convert(request, reader.read)
        answer = {}
    except (RefusedError, ValueError, KeyError, TypeError) as error:
        answer = {"refused": one_line(error)}
    except MemoryError:
        answer = {"refused": "needs more memory than data of its size are allowed"}
    except OSError as error:
        failed = error.filename in (None, request.out) and error.errno is not None
        answer = {"failed" if failed else "refused": one_line(error)}
    print(json.dumps(answer), flush=True)


def _convert(request: Request, read: Callable[[Request], Iterator[Raw]]) -> None:
    check_memory()
    with Path(request.out).open("wb+") as file:
        writer = FlatWriter(file, request.dtype, request.steps)
        for index, raw in enumerate(read(request)):
            if index % EPISODES_PER_CHECK == 0:
                check_memory()
            try:
                episode = checked(raw, request)
                records = np.zeros(len(episode), request.dtype)
                fill_records(records, [episode])
                writer.add(records, episode.rewards, raw.seed)
            except (ValueError, TypeError) as error:
                raise ValueError(f"episode_{index}: {one_line(error)}") from None
        writer.finish(request.key)


def checked(raw: Raw, request: Request) -> Episode:
    """Check an episode, and convert it to the form that learners receive.

    Raises:
        ValueError: a field has an invalid type, shape or value.
    """
    t = len(raw.rewards)
    if t == 0:
        raise ValueError("has no steps")
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
    with np.errstate(over="ignore"):  # a value beyond the range of float32 is refused below
        observations = observations.astype(np.float32)
        finite = np.isfinite(observations).all() and np.isfinite(rewards.astype(np.float32)).all()
    if not finite:
        raise ValueError("a value is not finite")
    ends = flags[0] | flags[1]
    if ends[:-1].any() or not ends[-1]:
        raise ValueError("end flags must be set at the last step only")
    return Episode(observations, actions, rewards, flags[0], flags[1])


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

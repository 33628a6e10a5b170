"""CartPole datasets of many short episodes, written faster than Minari writes them."""

import json
from collections.abc import Sequence
from functools import cache
from typing import Any

import h5py
import numpy as np
from foreign_data import write_dataset
from minari.data_collector import EpisodeBuffer

from lunar_offline.storage.datasets_root import datasets_root
from lunar_offline.transitions import FIELDS

low: Any = h5py  # its low-level modules have no type hints
h5a, h5d, h5g, h5p, h5s, h5t = low.h5a, low.h5d, low.h5g, low.h5p, low.h5s, low.h5t

ENV = "CartPole-v1"


def episode(index: int, steps: int) -> EpisodeBuffer:
    """An episode of values that depend on its index, as Minari's buffers hold one."""
    observations = np.arange(4 * (steps + 1), dtype=np.float32).reshape(-1, 4) + index
    last = np.arange(steps) == steps - 1
    return EpisodeBuffer(
        id=index,
        seed=index,
        observations=observations,
        actions=np.arange(index, index + steps) % 2,
        rewards=np.full(steps, index + 0.5),
        terminations=last,
        truncations=np.zeros(steps, bool),
    )


def write_many(dataset_id: str, lengths: Sequence[int]) -> None:
    """Write episodes of the given lengths: the same objects as Minari's, by HDF5's own calls."""
    write_dataset(dataset_id, ENV, [])
    data = datasets_root() / dataset_id / "data"
    one, int64 = h5s.create(h5s.SCALAR), h5t.NATIVE_INT64
    with h5py.File(data / "main_data.hdf5", "w") as file:
        for index, steps in enumerate(lengths):
            made = episode(index, steps)
            group = h5g.create(file.id, b"episode_%d" % index)
            for name, value in ((b"id", index), (b"seed", index), (b"total_steps", steps)):
                h5a.create(group, name, int64, one).write(np.array(value))
            for name in FIELDS:
                values = np.asarray(getattr(made, name))
                kind, space, plist = _as_minari_stores(values.dtype, values.shape)
                array = h5d.create(group, name.encode(), kind, space, plist)
                array.write(h5s.ALL, h5s.ALL, values)
    path = data / "metadata.json"
    values = json.loads(path.read_text())
    stated = {"total_episodes": len(lengths), "total_steps": int(sum(lengths))}
    path.write_text(json.dumps(values | stated))


@cache
def _as_minari_stores(dtype: np.dtype, shape: tuple[int, ...]) -> tuple[Any, Any, Any]:
    """Return the HDF5 type, space and properties of an array that can grow and is one chunk."""
    plist = h5p.create(h5p.DATASET_CREATE)
    plist.set_chunk(shape)
    space = h5s.create_simple(shape, (h5s.UNLIMITED, *shape[1:]))
    return h5t.py_create(dtype, logical=True), space, plist

"""Minari's Arrow layout: a folder with one IPC file per episode. Used only by `conversion`."""

import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import ipc

from lunar_offline.datasets.cache import NO_SEED
from lunar_offline.datasets.readers.request import Raw, Request
from lunar_offline.storage.strict_json import strict_json
from lunar_offline.storage.untrusted_files import open_regular, read_regular
from lunar_offline.transitions import FIELDS

MAX_BYTES = 1 << 16


def read(request: Request) -> Iterator[Raw]:
    """Yield the episodes in the order of their index.

    Raises:
        ValueError: an episode is missing, or is not in the form that Minari writes.
        RefusedError: a file is not a regular file.
    """
    root = Path(request.data)
    there = sum(1 for _ in root.iterdir()) - 1  # without metadata.json
    if there != request.episodes:
        raise ValueError(f"holds {there} episodes, metadata.json states {request.episodes}")
    for index in range(request.episodes):
        try:
            yield _episode(root / str(index), index)
        except (OSError, ValueError, KeyError, pa.ArrowException) as error:
            raise ValueError(f"episode_{index}: {error}") from None


def _episode(folder: Path, index: int) -> Raw:
    files = [path for path in folder.iterdir() if path.suffix == ".arrow"]
    if len(files) != 1:
        raise ValueError(f"has {len(files)} Arrow files, not one")
    with os.fdopen(open_regular(files[0]), "rb") as file:
        table = ipc.open_file(pa.PythonFile(file)).read_all()
    # every column has one more row than steps, which only the observations use
    columns = {name: _values(table, name) for name in FIELDS}
    return Raw(
        columns["observations"],
        *(columns[name][:-1] for name in FIELDS[1:]),
        seed=_seed(folder / "metadata.json", index),
    )


def _values(table: pa.Table, name: str) -> NDArray:
    if table.schema.names.count(name) != 1:
        raise ValueError(f"{name} is missing or duplicated")
    column = table.column(name).combine_chunks()
    column.validate(full=True)
    width = column.type.list_size if pa.types.is_fixed_size_list(column.type) else None
    values = column if width is None else column.flatten()
    if column.null_count or values.null_count:
        raise ValueError(f"{name} has missing values")
    if not pa.types.is_primitive(values.type) or pa.types.is_temporal(values.type):
        raise ValueError(f"{name} is of type {column.type}")
    flat = values.to_numpy(zero_copy_only=False)
    return flat if width is None else flat.reshape(len(column), width)


def _seed(path: Path, index: int) -> int:
    values = strict_json(read_regular(path, MAX_BYTES))
    if not isinstance(values, dict) or values.get("id") != index:
        raise ValueError(f"metadata.json: its id is not {index}")
    seed = values.get("seed", NO_SEED)
    if type(seed) is not int or seed < 0:
        raise ValueError("metadata.json: its seed is not a non-negative integer")
    return min(seed, NO_SEED)  # a seed of more than 64 bits counts as unknown

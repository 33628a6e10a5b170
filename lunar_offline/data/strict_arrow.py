"""Minari's Arrow layout: per episode a folder with one IPC file. Used by `strict` alone."""

import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import ipc

from lunar_offline.data.strict import FIELDS, NO_SEED, Raw, Request
from lunar_offline.files import open_regular, read_regular, strict_json

MAX_BYTES = 1 << 16


def read(request: Request) -> Iterator[Raw]:
    """Yield the episodes in the order of their index.

    Raises:
        ValueError: an episode is missing, or is not as Minari would have written it.
        RefusedError: a file is none.
    """
    for index in range(request.episodes):
        folder = Path(request.data) / str(index)
        try:
            yield _episode(folder)
        except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
            raise ValueError(f"episode {index}: {error}") from None


def _episode(folder: Path) -> Raw:
    files = [path for path in folder.iterdir() if path.suffix == ".arrow"]
    if len(files) != 1:
        raise ValueError(f"{len(files)} Arrow files, not one")
    with os.fdopen(open_regular(files[0]), "rb") as file:
        table = ipc.open_file(pa.PythonFile(file)).read_all()
    # every column has a last row that only the observations fill
    columns = {name: _values(table, name) for name in FIELDS}
    return Raw(
        columns["observations"],
        *(columns[name][:-1] for name in FIELDS[1:]),
        seed=_seed(folder / "metadata.json"),
    )


def _values(table: pa.Table, name: str) -> NDArray:
    column = table.column(name).combine_chunks()
    column.validate(full=True)
    if column.null_count:
        raise ValueError(f"{name} has missing values")
    if pa.types.is_fixed_size_list(column.type):
        width = column.type.list_size
        return column.flatten().to_numpy(zero_copy_only=False).reshape(-1, width)
    return column.to_numpy(zero_copy_only=False)


def _seed(path: Path) -> int:
    if not path.exists():
        return NO_SEED
    values = strict_json(read_regular(path, MAX_BYTES))
    seed = values.get("seed") if isinstance(values, dict) else None
    return seed if type(seed) is int and 0 <= seed < 2**63 else NO_SEED

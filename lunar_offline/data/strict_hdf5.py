"""Minari's HDF5 layout, read with nothing taken on trust. Used by `strict` alone.

The low-level API is used throughout: it looks at a link, type, layout or shape before it follows,
and is three times as fast as h5py's objects.
"""

from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from lunar_offline.data.strict import FIELDS, NO_SEED, Raw, Request

# h5py's low-level modules have no types
low: Any = h5py
h5a, h5d, h5f, h5g, h5l, h5p, h5s = low.h5a, low.h5d, low.h5f, low.h5g, low.h5l, low.h5p, low.h5s

FILTERS = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32}
LAYOUTS = {h5d.COMPACT, h5d.CONTIGUOUS, h5d.CHUNKED}
RANKS = {"observations": 2, "actions": 2}
# deflate cannot compress further than about this
MAX_EXPANSION = 1032
SMALL = 1 << 16


def read(request: Request) -> Iterator[Raw]:
    """Yield the episodes of an HDF5 file in the order of their index.

    Raises:
        ValueError: it holds anything that Minari would not have written so.
        OSError: HDF5 cannot read it.
    """
    try:
        file = h5f.open(request.data.encode(), h5f.ACC_RDONLY, _access())
        root = h5g.open(file, b"/")
        if root.get_num_objs() != request.episodes:
            raise ValueError(
                f"holds {root.get_num_objs()} episodes, metadata.json says {request.episodes}"
            )
        for index in range(request.episodes):
            try:
                yield _episode(root, f"episode_{index}".encode(), request)
            except (ValueError, KeyError, TypeError, OSError, RuntimeError) as error:
                raise ValueError(f"episode_{index}: {error}") from None
    except (KeyError, TypeError, RuntimeError, OSError) as error:
        raise ValueError(str(error)) from None


def _access() -> Any:
    """Open without locks, on read-only file systems too."""
    access = h5p.create(h5p.FILE_ACCESS)
    access.set_file_locking(False, True)
    return access


def _open_link(group: Any, name: bytes) -> None:
    """Raise ValueError unless a name is there, as a hard link: others lead out of the file."""
    if not group.links.exists(name):
        raise ValueError(f"{name.decode()} is missing")
    if group.links.get_info(name).type != h5l.TYPE_HARD:
        raise ValueError(f"{name.decode()} is a soft or external link")


def _episode(root: Any, name: bytes, request: Request) -> Raw:
    _open_link(root, name)
    group = h5g.open(root, name)
    fields = [_field(group, field, request.steps + 1) for field in FIELDS]
    return Raw(*fields, seed=_seed(group))


def _field(group: Any, name: str, most: int) -> NDArray:
    """Read a field, after all that is known before reading has been checked."""
    _open_link(group, name.encode())
    data = h5d.open(group, name.encode())
    plist = data.get_create_plist()
    if plist.get_layout() not in LAYOUTS or plist.get_external_count():
        raise ValueError(f"{name} keeps its values in another file")
    for index in range(plist.get_nfilters()):
        if plist.get_filter(index)[0] not in FILTERS:
            raise ValueError(f"{name} is packed with an unknown filter")
    dtype, shape = data.dtype, data.shape
    if dtype.kind not in "fiub" or dtype.itemsize > 8:
        raise ValueError(f"{name} is of type {dtype}")
    if shape is None or not 1 <= len(shape) <= RANKS.get(name, 1):
        raise ValueError(f"{name} has shape {shape}")
    size = dtype.itemsize * int(np.prod(shape, dtype=object))
    stored = data.get_storage_size()
    if shape[0] > most:
        raise ValueError(f"{name} has {shape[0]} rows, more than all steps together")
    if size > stored * MAX_EXPANSION + SMALL or (size and not stored):
        raise ValueError(f"{name} claims {size:,} bytes and holds {stored:,}")
    values = np.empty(shape, dtype)
    data.read(h5s.ALL, h5s.ALL, values)
    if dtype.kind == "b" and (values.view(np.uint8) > 1).any():
        raise ValueError(f"{name} holds a flag that is neither true nor false")
    return values


def _seed(group: Any) -> int:
    """Return the env seed of an episode; NO_SEED unless it is one integer."""
    if not h5a.exists(group, b"seed"):
        return NO_SEED
    attribute = h5a.open(group, b"seed")
    if attribute.shape != () or attribute.dtype.kind not in "iu" or attribute.dtype.itemsize > 8:
        return NO_SEED
    value = np.empty((), attribute.dtype)
    attribute.read(value)
    return int(value) if 0 <= int(value) < 2**63 else NO_SEED

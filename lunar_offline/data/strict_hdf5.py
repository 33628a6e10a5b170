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
from lunar_offline.files import one_line

# h5py's low-level modules have no types
low: Any = h5py
h5a, h5d, h5f, h5g, h5l = low.h5a, low.h5d, low.h5f, low.h5g, low.h5l
h5o, h5p, h5s = low.h5o, low.h5p, low.h5s

LAYOUTS = {h5d.COMPACT, h5d.CONTIGUOUS, h5d.CHUNKED}
NAMES = {name.encode() for name in (*FIELDS, "infos")}


def read(request: Request) -> Iterator[Raw]:
    """Yield the episodes of an HDF5 file in the order of their index.

    Raises:
        ValueError: it holds anything that Minari would not have written so.
        OSError: HDF5 cannot read it.
    """
    try:
        file = h5f.open(request.data.encode(), h5f.ACC_RDONLY, _access())
        if file.get_create_plist().get_userblock():
            raise ValueError("has something in front of its HDF5")
        root = h5g.open(file, b"/")
        if root.get_num_objs() != request.episodes:
            raise ValueError(
                f"holds {root.get_num_objs()} episodes, metadata.json says {request.episodes}"
            )
        seen: set[int] = set()
        for index in range(request.episodes):
            try:
                yield _episode(root, index, request, seen)
            except (ValueError, KeyError, TypeError, OSError, RuntimeError) as error:
                raise ValueError(f"episode_{index}: {one_line(error)}") from None
    except (KeyError, TypeError, RuntimeError, OSError) as error:
        raise ValueError(str(error)) from None


def _access() -> Any:
    """Open without locks, on read-only file systems too."""
    access = h5p.create(h5p.FILE_ACCESS)
    access.set_file_locking(False, True)
    return access


def _open(group: Any, name: bytes, kinds: Any, seen: set[int]) -> Any:
    """Open a member of a group; only a hard link, as others lead out of the file, and only once."""
    said = name.decode(errors="replace")[:40]
    if not group.links.exists(name):
        raise ValueError(f"{said} is missing")
    if group.links.get_info(name).type != h5l.TYPE_HARD:
        raise ValueError(f"{said} is a soft or external link")
    member = h5o.open(group, name)
    if not isinstance(member, kinds):
        raise ValueError(f"{said} is no {'group' if kinds is h5g.GroupID else 'array'}")
    address = h5o.get_info(member).addr
    if address in seen:
        raise ValueError(f"{said} stands twice in the file")
    seen.add(address)
    return member


def _episode(root: Any, index: int, request: Request, seen: set[int]) -> Raw:
    group = _open(root, f"episode_{index}".encode(), h5g.GroupID, seen)
    names = set(group)
    for name in sorted(names - NAMES):
        raise ValueError(f"holds {name.decode(errors='replace')[:40]!r}, which Minari never writes")
    if _integer(group, b"id") != index:
        raise ValueError(f"its attribute id is not {index}")
    fields = [_field(group, field, request, seen) for field in FIELDS]
    if b"infos" in names:
        _check_unread(group, b"infos", seen)
    seed = _integer(group, b"seed") if h5a.exists(group, b"seed") else NO_SEED
    return Raw(*fields, seed=seed)


def _field(group: Any, name: str, request: Request, seen: set[int]) -> NDArray:
    """Read a field, after all that is known before reading has been checked."""
    data = _open(group, name.encode(), h5d.DatasetID, seen)
    if _check_storage(data, name).get_nfilters():
        # HDF5 fills up from its memory where a chunk unpacks to less than it should
        raise ValueError(f"{name} is packed, as Minari packs none; unpack it with h5repack -f NONE")
    dtype, shape = data.dtype, data.shape
    if dtype.kind not in "fiub" or dtype.itemsize > 8:
        raise ValueError(f"{name} is of type {dtype}")
    if dtype.metadata:
        raise ValueError(f"{name} is of an enumerated type")
    widths = {"observations": (request.observation_size,)}
    if not request.actions:
        widths["actions"] = (len(request.low),)
    if not shape or shape[1:] != widths.get(name, ()):
        raise ValueError(f"{name} has shape {shape}")
    size = dtype.itemsize * int(np.prod(shape, dtype=object))
    stored = data.get_storage_size()
    if shape[0] > request.steps + 1:
        raise ValueError(f"{name} has {shape[0]} rows, more than all steps together")
    if size > stored:
        raise ValueError(f"{name} claims {size:,} bytes and holds {stored:,}")
    values = np.empty(shape, dtype)
    data.read(h5s.ALL, h5s.ALL, values)
    if dtype.kind == "b" and (values.view(np.uint8) > 1).any():
        raise ValueError(f"{name} holds a flag that is neither true nor false")
    return values


def _check_storage(data: Any, name: str) -> Any:
    """Return how an array was made, once it is known that its values lie in the file."""
    plist = data.get_create_plist()
    if plist.get_layout() not in LAYOUTS or plist.get_external_count():
        raise ValueError(f"{name} keeps its values in another file")
    return plist


def _check_unread(group: Any, name: bytes, seen: set[int]) -> None:
    """Hold infos, which are not read, to this much: nothing in them leads out of the file."""
    member = _open(group, name, (h5g.GroupID, h5d.DatasetID), seen)
    if isinstance(member, h5d.DatasetID):
        _check_storage(member, name.decode(errors="replace")[:40])
        return
    for inner in member:
        _check_unread(member, inner, seen)


def _integer(group: Any, name: bytes) -> int:
    """Return an attribute that is one integer, and not negative."""
    said = name.decode()
    if not h5a.exists(group, name):
        raise ValueError(f"its attribute {said} is missing")
    attribute = h5a.open(group, name)
    dtype = attribute.dtype
    if attribute.shape != () or dtype.kind not in "iu" or dtype.itemsize > 8 or dtype.metadata:
        raise ValueError(f"its attribute {said} is not one integer")
    value = np.empty((), dtype)
    attribute.read(value)
    if value < 0:
        raise ValueError(f"its attribute {said} is negative")
    return int(value)

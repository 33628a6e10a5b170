"""Minari's HDF5 layout, read with nothing taken on trust. Used by `strict` alone.

The low-level API is used throughout: it looks at a link, type, layout or shape before it follows,
and is three times as fast as h5py's objects.
"""

import math
from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from lunar_offline.data.strict import NO_SEED, Raw, Request
from lunar_offline.files import one_line
from lunar_offline.transitions import FIELDS

# h5py's low-level modules have no types
low: Any = h5py
h5a, h5d, h5f, h5g, h5l = low.h5a, low.h5d, low.h5f, low.h5g, low.h5l
h5o, h5p, h5s, h5t = low.h5o, low.h5p, low.h5s, low.h5t

Links = dict[bytes, tuple[int, int]]
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
        reader, links = _Reader(request), _links(root)
        for index in range(request.episodes):
            try:
                yield reader.episode(root, links, index)
            except (ValueError, KeyError, TypeError, OSError, RuntimeError) as error:
                raise ValueError(f"episode_{index}: {one_line(error)}") from None
    except (KeyError, TypeError, RuntimeError, OSError) as error:
        raise ValueError(str(error)) from None


def _access() -> Any:
    """Open without locks, on read-only file systems too."""
    access = h5p.create(h5p.FILE_ACCESS)
    access.set_file_locking(False, True)
    return access


def _links(group: Any) -> Links:
    """Return the type and the address of every link of a group, by its name."""
    links: Links = {}

    def note(name: bytes, link: Any) -> None:
        links[name] = link.type, link.u

    group.links.iterate(note, info=True)
    return links


class _Reader:
    """Reads episode after episode, and remembers what has been seen of the file."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._bytes = np.asarray(np.memmap(request.data, np.uint8, "r"))
        self._seen: set[int] = set()
        self._types: list[tuple[Any, np.dtype, Any]] = []

    def episode(self, root: Any, episodes: Links, index: int) -> Raw:
        group = self._open(root, episodes, f"episode_{index}".encode(), h5g.GroupID)
        links = _links(group)
        for name in sorted(links.keys() - NAMES):
            raise ValueError(f"holds {_said(name)!r}, which Minari never writes")
        if self._integer(group, b"id") != index:
            raise ValueError(f"its attribute id is not {index}")
        fields = [self._field(group, links, field) for field in FIELDS]
        if b"infos" in links:
            self._check_unread(group, links, b"infos")
        seed = self._integer(group, b"seed") if h5a.exists(group, b"seed") else NO_SEED
        return Raw(*fields, seed=seed)

    def _open(self, group: Any, links: Links, name: bytes, kinds: Any) -> Any:
        """Open a member: only a hard link, as others lead out of the file, and only once."""
        if name not in links:
            raise ValueError(f"{_said(name)} is missing")
        kind, address = links[name]
        if kind != h5l.TYPE_HARD:
            raise ValueError(f"{_said(name)} is a soft or external link")
        if address in self._seen:
            raise ValueError(f"{_said(name)} stands twice in the file")
        self._seen.add(address)
        member = h5o.open(group, name)
        if not isinstance(member, kinds):
            raise ValueError(f"{_said(name)} is no {'group' if kinds is h5g.GroupID else 'array'}")
        return member

    def _field(self, group: Any, links: Links, name: str) -> NDArray:
        """Read a field, after all that is known before reading has been checked."""
        request = self._request
        data = self._open(group, links, name.encode(), h5d.DatasetID)
        plist = _check_storage(data, name)
        if plist.get_nfilters():
            # HDF5 fills up from its memory where a chunk unpacks to less than it should
            raise ValueError(
                f"{name} is packed, as Minari packs none; unpack it with h5repack -f NONE"
            )
        (dtype, _), shape = self._dtype(data), data.shape
        if dtype.kind not in "fiub" or dtype.itemsize > 8:
            raise ValueError(f"{name} is of type {dtype}")
        if dtype.metadata:
            raise ValueError(f"{name} is of an enumerated type")
        widths = {"observations": (request.observation_size,)}
        if not request.actions:
            widths["actions"] = (len(request.low),)
        if not shape or shape[1:] != widths.get(name, ()):
            raise ValueError(f"{name} has shape {shape}")
        if shape[0] > request.steps + 1:
            raise ValueError(f"{name} has {shape[0]} rows, more than all steps together")
        size, stored = dtype.itemsize * math.prod(shape), data.get_storage_size()
        if size > stored:
            raise ValueError(f"{name} claims {size:,} bytes and holds {stored:,}")
        values = self._values(data, plist, dtype, shape, size)
        if dtype.kind == "b" and (values.view(np.uint8) > 1).any():
            raise ValueError(f"{name} holds a flag that is neither true nor false")
        return values

    def _dtype(self, data: Any) -> tuple[np.dtype, Any]:
        """Translate an array's type, and back; there are few, and translating one takes 20 us."""
        kind = data.get_type()
        for known, dtype, memory in self._types:
            if kind.equal(known):
                return dtype, memory
        dtype = data.dtype
        memory = h5t.py_create(dtype, logical=True)
        # numbers of other bits than NumPy's would be read as what they are not
        if dtype.kind in "fiub" and not kind.equal(memory):
            raise ValueError(f"an array has an unusual type, which is not quite {dtype}")
        self._types = [*self._types[-7:], (kind, dtype, memory)]
        return dtype, memory

    def _values(
        self, data: Any, plist: Any, dtype: np.dtype, shape: tuple[int, ...], size: int
    ) -> NDArray:
        """Map values that stand in one piece, as Minari writes them; let HDF5 read others."""
        if plist.get_layout() == h5d.CHUNKED and plist.get_chunk() == shape and size:
            piece = data.get_chunk_info(0)
            start = piece.byte_offset
            if start is not None and piece.size == size and not piece.filter_mask:
                values = self._bytes[start : start + size]
                if len(values) == size:
                    return values.view(dtype).reshape(shape)
        values = np.empty(shape, dtype)
        data.read(h5s.ALL, h5s.ALL, values)
        return values

    def _check_unread(self, group: Any, links: Links, name: bytes) -> None:
        """Hold infos, which are not read, to this much: nothing in them leads out of the file."""
        member = self._open(group, links, name, (h5g.GroupID, h5d.DatasetID))
        if isinstance(member, h5d.DatasetID):
            _check_storage(member, _said(name))
            return
        inside = _links(member)
        for inner in inside:
            self._check_unread(member, inside, inner)

    def _integer(self, group: Any, name: bytes) -> int:
        """Return an attribute that is one integer, and not negative."""
        said = name.decode()
        if not h5a.exists(group, name):
            raise ValueError(f"its attribute {said} is missing")
        attribute = h5a.open(group, name)
        dtype, memory = self._dtype(attribute)
        if attribute.shape != () or dtype.kind not in "iu" or dtype.itemsize > 8 or dtype.metadata:
            raise ValueError(f"its attribute {said} is not one integer")
        value = np.empty((), dtype)
        attribute.read(value, memory)
        if value < 0:
            raise ValueError(f"its attribute {said} is negative")
        return int(value)


def _said(name: bytes) -> str:
    return name.decode(errors="replace")[:40]


def _check_storage(data: Any, name: str) -> Any:
    """Return how an array was made, once it is known that its values lie in the file."""
    plist = data.get_create_plist()
    if plist.get_layout() not in LAYOUTS or plist.get_external_count():
        raise ValueError(f"{name} keeps its values in another file")
    return plist

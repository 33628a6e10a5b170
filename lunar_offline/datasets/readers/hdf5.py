"""Minari's HDF5 layout, with a check of every object before it is read. Used only by `conversion`.

This module uses h5py's low-level API, which can inspect a link, type, layout or shape before it
opens or reads the object, and which is three times as fast as h5py's high-level objects.
"""

import math
import os
from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from lunar_offline.datasets.cache import NO_SEED
from lunar_offline.datasets.readers.limits import check_memory
from lunar_offline.datasets.readers.request import Raw, Request
from lunar_offline.storage.plain_text import one_line
from lunar_offline.transitions import FIELDS

# h5py's low-level modules have no type hints
low: Any = h5py
h5a, h5d, h5f, h5g, h5l = low.h5a, low.h5d, low.h5f, low.h5g, low.h5l
h5o, h5p, h5s, h5t = low.h5o, low.h5p, low.h5s, low.h5t

Links = dict[bytes, tuple[int, int]]
LAYOUTS = {h5d.COMPACT, h5d.CONTIGUOUS, h5d.CHUNKED}
NAMES = {name.encode() for name in (*FIELDS, "infos")}
METADATA_CACHE = 1 << 20
NAME_BYTES = 32  # of an episode in the table of the root group
OPENED_PER_CHECK = 32


def read(request: Request) -> Iterator[Raw]:
    """Yield the episodes of an HDF5 file in the order of their index.

    Raises:
        ValueError: it holds anything that Minari never writes.
        OSError: HDF5 cannot read it.
    """
    try:
        file = h5f.open(request.data.encode(), h5f.ACC_RDONLY, _access(request))
        if file.get_create_plist().get_userblock():
            raise ValueError("has a user block before its HDF5 data")
        root = h5g.open(file, b"/")
        if root.get_num_objs() != request.episodes:
            raise ValueError(
                f"holds {root.get_num_objs()} episodes, metadata.json states {request.episodes}"
            )
        reader, links = _Reader(request, file.get_vfd_handle(_access(request))), _links(root)
        for index in range(request.episodes):
            try:
                yield reader.episode(root, links, index)
            except (ValueError, KeyError, TypeError, OSError, RuntimeError) as error:
                raise ValueError(f"episode_{index}: {one_line(error)}") from None
    except (KeyError, TypeError, RuntimeError, OSError) as error:
        raise ValueError(str(error)) from None


def _access(request: Request) -> Any:
    """Return the access properties: no file locks, and a small cache of HDF5's own metadata.

    Read-only file systems lack locks. HDF5 grows its cache to 32 MiB, and counts the bytes in the
    file alone: the index of one array of a short episode has 2 kB there and 18 kB in memory. No
    object is read twice, so a cache that holds the table of the episodes is as fast.
    """
    access = h5p.create(h5p.FILE_ACCESS)
    access.set_file_locking(False, True)
    config = access.get_mdc_config()
    config.set_initial_size = True
    config.initial_size = config.min_size = config.max_size = (
        METADATA_CACHE + NAME_BYTES * request.episodes
    )
    config.incr_mode = config.flash_incr_mode = config.decr_mode = 0  # a constant size
    access.set_mdc_config(config)
    return access


def _links(group: Any) -> Links:
    """Return the type and the address of every link of a group, by name."""
    links: Links = {}

    def note(name: bytes, link: Any) -> None:
        links[name] = link.type, link.u

    group.links.iterate(note, info=True)
    return links


class _Reader:
    """Reads the episodes one by one, and records which objects of the file were opened."""

    def __init__(self, request: Request, descriptor: int) -> None:
        self._request, self._descriptor = request, descriptor
        self._size = os.fstat(descriptor).st_size
        self._seen: set[int] = set()
        self._types: list[tuple[Any, np.dtype, Any]] = []

    def episode(self, root: Any, episodes: Links, index: int) -> Raw:
        group = self._open(root, episodes, b"episode_%d" % index, h5g.GroupID)
        links = _links(group)
        for name in sorted(links.keys() - NAMES):
            raise ValueError(f"holds {_shown_name(name)!r}, which Minari never writes")
        if self._integer(group, b"id") != index:
            raise ValueError(f"its attribute id is not {index}")
        fields = [self._field(group, links, field) for field in FIELDS]
        if b"infos" in links:
            self._check_unread(group, links, b"infos")
        seed = self._integer(group, b"seed") if h5a.exists(group, b"seed") else NO_SEED
        return Raw(*fields, seed=seed)

    def _open(self, group: Any, links: Links, name: bytes, kinds: Any) -> Any:
        """Open a member once, and by a hard link, because others can point outside the file."""
        if name not in links:
            raise ValueError(f"{_shown_name(name)} is missing")
        kind, address = links[name]
        if kind != h5l.TYPE_HARD:
            raise ValueError(f"{_shown_name(name)} is a soft or external link")
        if address in self._seen:
            raise ValueError(f"{_shown_name(name)} is linked more than once")
        self._seen.add(address)
        if len(self._seen) % OPENED_PER_CHECK == 0:
            check_memory()
        member = h5o.open(group, name)
        if not isinstance(member, kinds):
            raise ValueError(
                f"{_shown_name(name)} is not {'a group' if kinds is h5g.GroupID else 'an array'}"
            )
        return member

    def _field(self, group: Any, links: Links, name: str) -> NDArray:
        """Read a field, after checks of everything that is known before its values are read."""
        request = self._request
        data = self._open(group, links, name.encode(), h5d.DatasetID)
        plist = _creation_properties(data, name)
        if plist.get_nfilters():
            # HDF5 returns uninitialized memory if a chunk decompresses to fewer bytes than stated
            raise ValueError(
                f"{name} is compressed, which Minari never does; run h5repack -f NONE on the file"
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
            raise ValueError(
                f"{name} has {shape[0]} rows, more than the stated steps of all episodes"
            )
        size, stored = dtype.itemsize * math.prod(shape), data.get_storage_size()
        if size > stored:
            raise ValueError(f"{name} claims {size:,} bytes but stores {stored:,}")
        values = self._values(data, plist, dtype, shape, size)
        if dtype.kind == "b" and (values.view(np.uint8) > 1).any():
            raise ValueError(f"{name} holds a flag that is neither true nor false")
        return values

    def _dtype(self, data: Any) -> tuple[np.dtype, Any]:
        """Return an array's NumPy and HDF5 types, from a cache: a conversion takes 20 us."""
        kind = data.get_type()
        for known, dtype, memory in self._types:
            if kind.equal(known):
                return dtype, memory
        dtype = data.dtype
        memory = h5t.py_create(dtype, logical=True)
        # HDF5 would convert numbers in another format than NumPy's to wrong values
        if dtype.kind in "fiub" and not kind.equal(memory):
            raise ValueError(f"an array has an unsupported variant of the type {dtype}")
        self._types = [*self._types[-7:], (kind, dtype, memory)]
        return dtype, memory

    def _values(
        self, data: Any, plist: Any, dtype: np.dtype, shape: tuple[int, ...], size: int
    ) -> NDArray:
        """Read values in one piece, as Minari writes short episodes; read others by HDF5."""
        if plist.get_layout() == h5d.CHUNKED and plist.get_chunk() == shape and size:
            piece = data.get_chunk_info(0)
            start = piece.byte_offset
            if start is not None and piece.size == size and not piece.filter_mask:
                inside = start + size <= self._size
                content = os.pread(self._descriptor, size, start) if inside else b""
                if len(content) == size:
                    return np.frombuffer(content, dtype).reshape(shape)
        values = np.empty(shape, dtype)
        data.read(h5s.ALL, h5s.ALL, values)
        return values

    def _check_unread(self, group: Any, links: Links, name: bytes) -> None:
        """Check that nothing in the infos, which are not read, points outside the file."""
        member = self._open(group, links, name, (h5g.GroupID, h5d.DatasetID))
        if isinstance(member, h5d.DatasetID):
            _creation_properties(member, _shown_name(name))
            return
        inside = _links(member)
        for inner in inside:
            self._check_unread(member, inside, inner)

    def _integer(self, group: Any, name: bytes) -> int:
        """Return the value of an attribute that must be one non-negative integer."""
        shown = name.decode()
        if not h5a.exists(group, name):
            raise ValueError(f"its attribute {shown} is missing")
        attribute = h5a.open(group, name)
        dtype, memory = self._dtype(attribute)
        if attribute.shape != () or dtype.kind not in "iu" or dtype.itemsize > 8 or dtype.metadata:
            raise ValueError(f"its attribute {shown} is not one integer")
        value = np.empty((), dtype)
        attribute.read(value, memory)
        if value < 0:
            raise ValueError(f"its attribute {shown} is negative")
        return int(value)


def _shown_name(name: bytes) -> str:
    return name.decode(errors="replace")[:40]


def _creation_properties(data: Any, name: str) -> Any:
    """Return an array's creation properties, after a check that the file holds its values."""
    plist = data.get_create_plist()
    if plist.get_layout() not in LAYOUTS or plist.get_external_count():
        raise ValueError(f"{name} keeps its values in another file")
    return plist

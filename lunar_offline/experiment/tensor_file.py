"""Tensors on disk: safetensors with a sha256 of every byte, read by a strict parser.

Any safetensors library reads these files. Ours believes nothing in them: the header is checked
against what the caller expects before the tensors' memory is asked for, so a file can neither claim
more than it holds nor bring another tensor, dtype or shape.

The digest lies in the header itself and is that of the whole file with 64 zeros in its place. It
finds damage, not malice: who changes a file on purpose can write a new one.
"""

import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save
from torch import Tensor

from lunar_offline.errors import RefusedError
from lunar_offline.files import parse_json, regular_file, write_atomic

METADATA_KEY = "lunar_offline"
MAX_HEADER_BYTES = 1 << 18
BLANK = "0" * 64

_DTYPES = {"F32": np.float32, "F64": np.float64, "U8": np.uint8, "BOOL": np.bool_}
_TORCH = {"F32": torch.float32, "F64": torch.float64, "U8": torch.uint8, "BOOL": torch.bool}

Spec = Mapping[str, tuple[torch.dtype, tuple[int | range, ...]]]
"""What a file must hold: dtype and shape by name. A range is a dimension that may vary."""


@dataclass(frozen=True)
class TensorFile:
    """What was read: tensors by name, what the header says of them, the file's sha256."""

    tensors: dict[str, Tensor]
    about: dict[str, Any]
    sha256: str


@dataclass(frozen=True)
class _Entry:
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


def spec_of(tensors: Mapping[str, Tensor]) -> Spec:
    """Return the spec that exactly these dtypes and shapes meet."""
    return {name: (value.dtype, tuple(value.shape)) for name, value in tensors.items()}


def write_tensors(
    path: Path, written_as: str, about: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> None:
    """Write a file atomically; the same tensors give the same bytes.

    Args:
        path: of the file.
        written_as: name and version of what it holds.
        about: plain finite JSON values, without the keys `format` and `sha256`.
        tensors: float32, float64, uint8 or bool.
    """
    text = json.dumps(
        {**about, "format": written_as, "sha256": BLANK}, sort_keys=True, allow_nan=False
    )
    plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    # one key alone: safetensors writes several in no fixed order
    content = save(plain, {METADATA_KEY: text})
    field = r"\"sha256\": \"%s\""
    digest = hashlib.sha256(content).hexdigest()
    blank, sealed = (field % value for value in (BLANK, digest))
    write_atomic(path, content.replace(blank.encode(), sealed.encode(), 1))


def read_tensors(
    path: Path,
    written_as: str,
    expect: Callable[[dict[str, Any]], Spec],
    *,
    unsealed: str | None = None,
) -> TensorFile:
    """Read a file of `write_tensors`.

    Args:
        path: of the file.
        written_as: as for `write_tensors`.
        expect: is given what the header says of the tensors, less `format` and `sha256`, and
            returns what they must be. It raises ValueError when that cannot be.
        unsealed: an older format that had no sha256 and is still read.

    Raises:
        FileNotFoundError: nothing stands at `path`.
        RefusedError: it is no regular file, or not wholly what it must be.
    """
    try:
        with regular_file(path) as (file, size):
            prefix = file.read(8)
            length = int.from_bytes(prefix, "little")
            if len(prefix) < 8 or length > min(MAX_HEADER_BYTES, size - 8):
                raise ValueError("not a safetensors file, or cut short in its header")
            header = file.read(length)
            entries, about = _parse(header, written_as)
            digest = _digest(about, (written_as, unsealed))
            _compare(entries, expect(about))
            total = _check_offsets(entries)
            if total != size - 8 - length:
                raise ValueError(f"{size - 8 - length:,} bytes of tensors, {total:,} announced")
            data = bytearray(total)
            if file.readinto(data) != total:
                raise ValueError("cut short while it was read")
        sha256 = _hash(prefix, header, data)
        if digest is not None and _hash(prefix, _blanked(header, digest), data) != digest:
            raise ValueError("does not match the sha256 in its header")
        raw = np.frombuffer(data, np.uint8) if data else np.empty(0, np.uint8)
        tensors = {
            name: _tensor(name, entry, raw[entry.start : entry.end])
            for name, entry in entries.items()
        }
    except ValueError as error:
        raise RefusedError(f"{path}: {error}") from None
    return TensorFile(tensors, about, sha256)


def _parse(header: bytes, written_as: str) -> tuple[dict[str, _Entry], dict[str, Any]]:
    values = parse_json(header)
    metadata = values.pop("__metadata__", None) if isinstance(values, dict) else None
    if not isinstance(metadata, dict) or not isinstance(metadata.get(METADATA_KEY), str):
        raise ValueError(f"not a {written_as} file")
    if len(metadata) > 1:
        raise ValueError("its header says more than one thing of the tensors")
    about = parse_json(metadata[METADATA_KEY].encode())
    if not isinstance(about, dict):
        raise ValueError(f"not a {written_as} file")
    return {name: _entry(name, value) for name, value in values.items()}, about


def _entry(name: str, value: Any) -> _Entry:
    if not isinstance(value, dict) or set(value) != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"the header's entry of {name[:40]!r} is damaged")
    dtype, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
    plausible = (
        isinstance(dtype, str)
        and isinstance(shape, list)
        and isinstance(offsets, list)
        and len(offsets) == 2
        and all(type(n) is int and n >= 0 for n in [*shape, *offsets])
    )
    if not plausible:
        raise ValueError(f"the header's entry of {name[:40]!r} is damaged")
    return _Entry(dtype, tuple(shape), *offsets)


def _digest(about: dict[str, Any], formats: tuple[str, str | None]) -> str | None:
    sealed, unsealed = formats
    written_as = about.pop("format", None)
    if written_as == sealed:
        digest = about.pop("sha256", None)
        if not isinstance(digest, str) or not re.fullmatch("[0-9a-f]{64}", digest):
            raise ValueError("its header has no sha256")
        return digest
    if unsealed is None or written_as != unsealed:
        raise ValueError(f"not a {sealed} file, but {str(written_as)[:40]!r}")
    return None


def _compare(entries: Mapping[str, _Entry], wanted: Spec) -> None:
    for name in sorted(wanted.keys() - entries.keys()):
        raise ValueError(f"the tensor {name} is missing")
    for name in sorted(entries.keys() - wanted.keys()):
        raise ValueError(f"the tensor {name[:40]!r} does not belong there")
    for name, (dtype, shape) in wanted.items():
        entry = entries[name]
        if _TORCH.get(entry.dtype) != dtype:
            raise ValueError(f"the tensor {name} is {entry.dtype[:20]!r}, not {dtype}")
        fits = len(entry.shape) == len(shape) and all(
            found in size if isinstance(size, range) else found == size
            for found, size in zip(entry.shape, shape, strict=True)
        )
        if not fits:
            said = str(list(entry.shape))[:60]
            raise ValueError(f"the tensor {name} has the shape {said}, not that of its network")


def _check_offsets(entries: Mapping[str, _Entry]) -> int:
    """Return the bytes of all tensors, which must lie side by side."""
    end = 0
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].start, item[1].end)):
        size = math.prod(entry.shape) * np.dtype(_DTYPES[entry.dtype]).itemsize
        if entry.start != end or entry.end != end + size:
            raise ValueError(f"the tensor {name} does not lie where the one before it ends")
        end = entry.end
    return end


def _hash(*parts: bytes | bytearray) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def _blanked(header: bytes, digest: str) -> bytes:
    if header.count(digest.encode()) != 1:
        raise ValueError("its header has its sha256 in more than one place")
    return header.replace(digest.encode(), BLANK.encode())


def _tensor(name: str, entry: _Entry, raw: NDArray[np.uint8]) -> Tensor:
    if entry.dtype == "BOOL" and (raw > 1).any():
        raise ValueError(f"the tensor {name} is not of zeros and ones")
    # a copy, since offsets need not be aligned
    values = raw.copy().view(_DTYPES[entry.dtype]).reshape(entry.shape)
    if entry.dtype in ("F32", "F64") and not np.isfinite(values).all():
        raise ValueError(f"the tensor {name} is not finite")
    return torch.from_numpy(values)

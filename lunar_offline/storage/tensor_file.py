"""Tensors on disk: safetensors files with a sha256 of every byte and strictly checked contents.

Any safetensors library can read these files; this module uses the safetensors package. Before it
allocates memory for the tensors, it checks that the header holds exactly the expected tensors,
dtypes and shapes, and no duplicate key. Afterwards it checks that all values are finite.

The header stores the digest, which is the sha256 of the complete file with 64 zeros in the
digest's place. It detects damage, but not tampering: an attacker can compute a new digest.
"""

import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, deserialize
from safetensors.numpy import save

from lunar_offline.errors import RefusedError
from lunar_offline.storage.atomic_write import write_atomic
from lunar_offline.storage.plain_text import one_line
from lunar_offline.storage.strict_json import parse_json
from lunar_offline.storage.untrusted_files import regular_file

METADATA_KEY = "lunar_offline"
MAX_HEADER_BYTES = 1 << 18
BLANK = "0" * 64

_DTYPES = {"F32": np.float32, "F64": np.float64, "U8": np.uint8, "BOOL": np.bool_}

Arrays = Mapping[str, NDArray[Any]]

Spec = Mapping[str, tuple[Any, tuple[int | range, ...]]]
"""The expected tensors of a file: dtype and shape by name. A range is a dimension that may vary."""


@dataclass(frozen=True)
class TensorFile:
    """The content of a tensor file.

    Attributes:
        tensors: by name.
        about: the JSON values in the header.
        sha256: of the file.
    """

    tensors: dict[str, NDArray[Any]]
    about: dict[str, Any]
    sha256: str


def spec_of(tensors: Arrays) -> Spec:
    """Return the spec of exactly these dtypes and shapes."""
    return {name: (value.dtype, value.shape) for name, value in tensors.items()}


def write_tensors(path: Path, written_as: str, about: Mapping[str, Any], tensors: Arrays) -> None:
    """Write a file atomically; the same tensors give the same bytes.

    Args:
        path: the file to write.
        written_as: name and version of the format of its contents.
        about: finite plain JSON values, without the keys `format` and `sha256`.
        tensors: float32, float64, uint8 or bool.
    """
    text = json.dumps(
        {**about, "format": written_as, "sha256": BLANK}, sort_keys=True, allow_nan=False
    )
    plain = {name: np.asarray(value, order="C") for name, value in tensors.items()}
    # a single key, because safetensors writes several keys in no fixed order
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
    """Read a file that `write_tensors` wrote.

    Args:
        path: the file to read.
        written_as: as for `write_tensors`.
        expect: receives the JSON values in the header, without `format` and `sha256`, and returns
            the expected tensors. It raises ValueError if the values are invalid.
        unsealed: name and version of an older format without a sha256 that is still accepted.

    Raises:
        FileNotFoundError: there is no such file.
        RefusedError: it is not a regular file, or its content is not exactly as expected.
    """
    try:
        with regular_file(path) as (file, size):
            header, entries, metadata = _read_header(file, size, written_as)
            digest = _digest(metadata, (written_as, unsealed))
            _compare(entries, expect(metadata))
            total = sum(_bytes(entry) for entry in entries.values())
            if total != size - len(header):
                raise ValueError(f"{size - len(header):,} bytes of tensors, not {total:,}")
            content = header + file.read(total)
        if digest is not None and _sha256(_blanked(content, header, digest)) != digest:
            raise ValueError("does not match the sha256 in its header")
        tensors = {name: _array(name, entry) for name, entry in deserialize(content)}
    except SafetensorError as error:
        raise RefusedError(f"{path}: {one_line(error)}") from None
    except ValueError as error:
        raise RefusedError(f"{path}: {error}") from None
    return TensorFile(tensors, metadata, _sha256(content))


def _read_header(
    file: BufferedReader, size: int, written_as: str
) -> tuple[bytes, dict[str, Any], dict[str, Any]]:
    """Return the bytes before the tensors, the entries of the tensors, and the metadata."""
    prefix = file.read(8)
    length = int.from_bytes(prefix, "little")
    if len(prefix) < 8 or length > min(MAX_HEADER_BYTES, size - 8):
        raise ValueError("not a safetensors file, or truncated in its header")
    header = file.read(length)
    entries = parse_json(header)
    outer = entries.pop("__metadata__", None) if isinstance(entries, dict) else None
    if not isinstance(outer, dict) or not isinstance(outer.get(METADATA_KEY), str):
        raise ValueError(f"not a {written_as} file")
    if len(outer) > 1:
        raise ValueError("its header has more than one metadata entry")
    metadata = parse_json(outer[METADATA_KEY].encode())
    if not isinstance(metadata, dict):
        raise ValueError(f"not a {written_as} file")
    for name, entry in entries.items():
        if not _is_entry(entry):
            raise ValueError(f"the header's entry for {name[:40]!r} is damaged")
    return prefix + header, entries, metadata


def _is_entry(entry: Any) -> bool:
    """Return whether a header entry has the fields of a tensor; safetensors checks the rest."""
    return (
        isinstance(entry, dict)
        and set(entry) == {"dtype", "shape", "data_offsets"}
        and isinstance(entry["dtype"], str)
        and isinstance(entry["shape"], list)
        and all(type(n) is int and n >= 0 for n in entry["shape"])
    )


def _digest(metadata: dict[str, Any], formats: tuple[str, str | None]) -> str | None:
    """Remove format and sha256 from the metadata; return the sha256."""
    sealed, unsealed = formats
    written_as = metadata.pop("format", None)
    if written_as == sealed:
        digest = metadata.pop("sha256", None)
        if not isinstance(digest, str) or not re.fullmatch("[0-9a-f]{64}", digest):
            raise ValueError("its header has no sha256")
        return digest
    if unsealed is None or written_as != unsealed:
        raise ValueError(f"not a {sealed} file, but {str(written_as)[:40]!r}")
    return None


def _bytes(entry: Mapping[str, Any]) -> int:
    return math.prod(entry["shape"]) * np.dtype(_DTYPES[entry["dtype"]]).itemsize


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _blanked(content: bytes, header: bytes, digest: str) -> bytes:
    """Return the content of a file with zeros in place of the digest in its header."""
    if header.count(digest.encode()) != 1:
        raise ValueError("its header contains its sha256 more than once")
    return header.replace(digest.encode(), BLANK.encode()) + content[len(header) :]


def _compare(entries: Mapping[str, Any], expected: Spec) -> None:
    for name in sorted(expected.keys() - entries.keys()):
        raise ValueError(f"the tensor {name} is missing")
    for name in sorted(entries.keys() - expected.keys()):
        raise ValueError(f"the tensor {name[:40]!r} is unexpected")
    for name, (dtype, shape) in expected.items():
        entry = entries[name]
        known = _DTYPES.get(entry["dtype"])
        if known is None or np.dtype(known) != dtype:
            raise ValueError(f"the tensor {name} is {entry['dtype'][:20]!r}, not {np.dtype(dtype)}")
        fits = len(entry["shape"]) == len(shape) and all(
            found in size if isinstance(size, range) else found == size
            for found, size in zip(entry["shape"], shape, strict=True)
        )
        if not fits:
            shown = str(entry["shape"])[:60]
            raise ValueError(f"the tensor {name} has the shape {shown}, not the expected one")


def _array(name: str, entry: Mapping[str, Any]) -> NDArray[Any]:
    raw = np.frombuffer(entry["data"], np.uint8)
    if entry["dtype"] == "BOOL" and (raw > 1).any():
        raise ValueError(f"the tensor {name} has values other than 0 and 1")
    values = raw.view(_DTYPES[entry["dtype"]]).reshape(entry["shape"])
    if entry["dtype"] in ("F32", "F64") and not np.isfinite(values).all():
        raise ValueError(f"the tensor {name} is not finite")
    return values

"""The flat cache of a dataset: its transitions as one memory-mapped array.

A cache file holds a page with a JSON header, the records, the rewards as the env gave them
(float64; the records hold float32), and for each episode the row after its last one and its seed.
The file name is derived from a hash of its source, so a cache is never out of date. It may be
deleted at any time.
"""

import hashlib
import json
import os
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lunar_offline.storage.strict_json import strict_json
from lunar_offline.storage.untrusted_files import open_regular

FORMAT = 2
PAGE = 4096
EPISODE_DTYPE = np.dtype([("end", np.int64), ("seed", np.uint64)])
NO_SEED = 2**64 - 1
CHUNK = 1 << 20


class Flat(NamedTuple):
    """An opened cache; the operating system loads its pages when they are first read.

    Attributes:
        records: [N] structured, read-only.
        rewards: float64 [N].
        ends: int64 [episodes], the row after the last row of each.
        seeds: uint64 [episodes], the env seeds; NO_SEED for an unknown one.
    """

    records: NDArray[Any]
    rewards: NDArray[np.float64]
    ends: NDArray[np.int64]
    seeds: NDArray[np.uint64]


class FlatWriter:
    """Writes a cache episode by episode, and keeps no more than one episode in memory.

    Args:
        file: an empty file, opened for writing.
        dtype: of the records.
        rows: number of all rows to come.
    """

    def __init__(self, file: BinaryIO, dtype: np.dtype, rows: int) -> None:
        self._file, self._dtype, self._rows = file, dtype, rows
        self._episodes: list[tuple[int, int]] = []
        self._row = 0

    def add(self, records: NDArray[Any], rewards: NDArray[np.float64], seed: int) -> None:
        """Append an episode of T steps.

        Args:
            records: [T] structured.
            rewards: float64 [T].
            seed: env seed, or NO_SEED.

        Raises:
            ValueError: there are more rows than were announced.
        """
        end = self._row + len(records)
        if end > self._rows:
            raise ValueError(f"holds more than {self._rows} steps")
        offsets = _offsets(self._dtype, self._rows)
        self._file.seek(offsets[0] + self._row * self._dtype.itemsize)
        self._file.write(records.tobytes())
        self._file.seek(offsets[1] + self._row * 8)
        self._file.write(rewards.astype(np.float64, copy=False).tobytes())
        self._episodes.append((end, seed))
        self._row = end

    def finish(self, key: str) -> None:
        """Write the table of episodes and the header. Raises ValueError if rows are missing."""
        if self._row != self._rows:
            raise ValueError(f"holds {self._row} steps, not {self._rows}")
        self._file.seek(_offsets(self._dtype, self._rows)[2])
        self._file.write(np.array(self._episodes, EPISODE_DTYPE).tobytes())
        self._file.flush()
        header = {
            "format": FORMAT,
            "key": key,
            "dtype": str(self._dtype.descr),
            "rows": self._rows,
            "episodes": len(self._episodes),
            "sha256": _payload_sha256(self._file.fileno()),
        }
        self._file.seek(0)
        self._file.write(json.dumps(header).encode().ljust(PAGE))
        self._file.flush()
        os.fsync(self._file.fileno())


def open_flat(path: Path, key: str, dtype: np.dtype, *, check: bool) -> Flat:
    """Map a cache into memory.

    Args:
        path: the cache file.
        key: hash of the source that the cache must have been made from.
        dtype: of its records.
        check: also compare its sha256, which reads the complete file; without this check, the time
            to open does not depend on the size.

    Raises:
        OSError: the file does not exist, or cannot be read.
        ValueError: it is damaged.
        RefusedError: it is not a regular file.
    """
    descriptor = open_regular(path)
    with os.fdopen(descriptor, "rb") as file:
        page = file.read(PAGE)
        try:
            header = strict_json(page)
            rows, episodes = header["rows"], header["episodes"]
            known = {"format": FORMAT, "key": key, "dtype": str(dtype.descr)}
            if header | known != header or type(rows) is not int or type(episodes) is not int:
                raise ValueError("unexpected header")
            start, rewards, table = _offsets(dtype, rows)
            size = table + episodes * EPISODE_DTYPE.itemsize
            if rows < 1 or episodes < 1 or os.fstat(descriptor).st_size != size:
                raise ValueError("unexpected size")
            if check and _payload_sha256(descriptor) != header.get("sha256"):
                raise ValueError("unexpected sha256")
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"{path}: {error}") from None
        pages = np.memmap(file, np.uint8, "r")
    ends = pages[table:].view(EPISODE_DTYPE)
    if ends["end"][-1] != rows or (np.diff(ends["end"], prepend=0) < 1).any():
        raise ValueError(f"{path}: its episode ends are inconsistent")
    return Flat(
        np.asarray(pages[start : start + rows * dtype.itemsize].view(dtype)),
        np.asarray(pages[rewards:table].view(np.float64)),
        ends["end"],
        ends["seed"],
    )


def _offsets(dtype: np.dtype, rows: int) -> tuple[int, int, int]:
    """Return the offsets of records, rewards and episodes in bytes, each a multiple of 8."""
    rewards = PAGE + -(-rows * dtype.itemsize // 8) * 8
    return PAGE, rewards, rewards + rows * 8


def _payload_sha256(descriptor: int) -> str:
    digest, offset = hashlib.sha256(), PAGE
    while chunk := os.pread(descriptor, CHUNK, offset):
        digest.update(chunk)
        offset += len(chunk)
    return digest.hexdigest()

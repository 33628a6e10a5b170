"""metrics.jsonl: one JSON object per line."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from lunar_offline.storage.atomic_write import named_errors
from lunar_offline.training.metrics import Record


class JSONLines:
    """A file with one JSON object per line.

    Args:
        path: the file, which the first record creates; a symbolic link is not followed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextmanager
    def _appending(self) -> Iterator[BinaryIO]:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
        with (
            named_errors(self._path),
            os.fdopen(os.open(self._path, flags | os.O_CLOEXEC, 0o666), "ab", buffering=0) as file,
        ):
            yield file

    def log(self, record: Record) -> None:
        """Append a record."""
        with self._appending() as file:
            text = json.dumps(record.to_dict(), allow_nan=False).encode() + b"\n"
            while text:  # a full disk accepts a part, and the next write raises the error
                text = text[file.write(text) :]

    def size(self) -> int:
        """Return the size of the file in bytes; 0 if it does not exist."""
        return self._path.lstat().st_size if os.path.lexists(self._path) else 0

    def sync(self) -> None:
        """Fsync the file."""
        with self._appending() as file:
            os.fsync(file.fileno())

    def truncate(self, size: int) -> None:
        """Keep only the first `size` bytes of the file."""
        if os.path.lexists(self._path):
            with self._appending() as file:
                file.truncate(size)

"""What is on disk is either whole or absent, and what strangers put there is read with care."""

import errno
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any

from lunar_offline.errors import RefusedError


def write_atomic(path: Path, content: bytes) -> None:
    """Write beside `path`, fsync, rename over it, fsync the directory.

    Raises:
        OSError: it could not be written; what stood at `path` still does. Its `filename` is set.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with named_errors(path):
        try:
            with temporary.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync_directory(path.parent)


@contextmanager
def named_errors(path: Path) -> Iterator[None]:
    """Let an OSError say which file it is of: that of a full disk names none."""
    try:
        yield
    except OSError as error:
        error.filename, error.filename2 = str(path), None
        raise


@contextmanager
def open_regular(path: Path) -> Iterator[tuple[BufferedReader, int]]:
    """Open a file that a stranger may have made; give the file and its size in bytes.

    Neither a symbolic link nor a pipe, device or directory is read, and none makes it wait.

    Raises:
        FileNotFoundError: nothing stands at `path`.
        RefusedError: what stands there is no regular file, or may not be read.
    """
    try:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(path, flags)
    except FileNotFoundError:
        raise
    except OSError as error:
        link = error.errno == errno.ELOOP
        reason = "a symbolic link, which is not followed" if link else error.strerror
        raise RefusedError(f"{path}: {reason}") from None
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise RefusedError(f"{path}: not a regular file")
    with os.fdopen(descriptor, "rb") as file:
        yield file, status.st_size


def read_regular(path: Path, limit: int) -> bytes:
    """Return a regular file's content; see `open_regular`.

    Raises:
        FileNotFoundError: nothing stands at `path`.
        RefusedError: no regular file, or more than `limit` bytes.
    """
    with open_regular(path) as (file, size):
        if size > limit:
            raise RefusedError(f"{path}: {size:,} bytes, and at most {limit:,} are read")
        return file.read(limit)


def parse_json(content: bytes) -> Any:
    """Parse strict JSON: UTF-8, no NaN, no key twice in an object, no depth that ends Python.

    Raises:
        ValueError: it is not; the message is one line.
    """
    try:
        return json.loads(
            content.decode(), object_pairs_hook=_object, parse_constant=_refuse_constant
        )
    except RecursionError:
        raise ValueError("JSON nested too deep") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice[:40]!r} is there twice")
    return values


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def sync_tree(path: Path) -> None:
    """Make every file below a directory durable, and the directories themselves."""
    for inside in [*path.rglob("*"), path]:
        if inside.is_dir():
            sync_directory(inside)
        else:
            with inside.open("rb") as file:
                os.fsync(file.fileno())


def sync_directory(path: Path) -> None:
    """Make renames inside a directory durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

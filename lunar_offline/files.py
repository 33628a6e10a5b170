"""What we write is either whole or absent; what strangers wrote is opened with care."""

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

HOLES_FROM = 64 << 20


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


def open_regular(path: Path) -> int:
    """Open a file that a stranger may have made, for reading; return its descriptor.

    Nothing but a regular file is opened: a link is not followed, a pipe or device never waited for.

    Raises:
        RefusedError: it is something else, or mostly holes, as no real data are.
        OSError: it is not there, or may not be read.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise RefusedError(f"{path}: a symbolic link") from None
        raise
    about = os.fstat(descriptor)
    holes = about.st_size > HOLES_FROM and about.st_blocks * 512 * 16 < about.st_size
    if not stat.S_ISREG(about.st_mode) or holes:
        os.close(descriptor)
        raise RefusedError(f"{path}: {'mostly holes' if holes else 'not a regular file'}")
    return descriptor


def read_regular(path: Path, limit: int) -> bytes:
    """Return the content of a stranger's file; see `regular_file`.

    Raises:
        FileNotFoundError: nothing stands at `path`.
        RefusedError: no regular file, or more than `limit` bytes.
    """
    with regular_file(path) as (file, size):
        if size > limit:
            raise RefusedError(f"{path}: {size:,} bytes, and at most {limit:,} are read")
        return file.read(limit)


def strict_json(text: str | bytes) -> Any:
    """Parse JSON in which no key stands twice. Raises ValueError or RecursionError."""
    return json.loads(text, object_pairs_hook=_without_duplicates)


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice[:40]!r} stands twice")
    return found


def one_line(error: BaseException) -> str:
    """Return the first line of an error's message, shortened."""
    lines = str(error).splitlines()
    return lines[0][:200] if lines else type(error).__name__


@contextmanager
def regular_file(path: Path) -> Iterator[tuple[BufferedReader, int]]:
    """Open a file that a stranger may have made; give the file and its size in bytes.

    Raises:
        FileNotFoundError: nothing stands at `path`.
        RefusedError: what stands there is no regular file, or may not be read.
    """
    try:
        descriptor = open_regular(path)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise RefusedError(f"{path}: {error.strerror}") from None
    with os.fdopen(descriptor, "rb") as file:
        yield file, os.fstat(descriptor).st_size


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

"""What we write is either whole or absent; what strangers wrote is opened with care."""

import errno
import json
import os
import stat
from pathlib import Path
from typing import Any

from lunar_offline.errors import RefusedError

HOLES_FROM = 64 << 20


def write_atomic(path: Path, content: bytes) -> None:
    """Write beside `path`, fsync, rename over it, fsync the directory."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
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


def read_regular(path: Path, max_bytes: int) -> bytes:
    """Read a stranger's file of at most `max_bytes`.

    Raises:
        RefusedError: it is larger, or see `open_regular`.
        OSError: it is not there, or may not be read.
    """
    with os.fdopen(open_regular(path), "rb") as file:
        if os.fstat(file.fileno()).st_size > max_bytes:
            raise RefusedError(f"{path}: larger than {max_bytes:,} bytes")
        return file.read(max_bytes)


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

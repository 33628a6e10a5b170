"""Open untrusted files without following symbolic links or waiting for pipes."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

from lunar_offline.errors import RefusedError

MAX_DEPTH = 8


def open_regular(path: Path) -> int:
    """Open an untrusted file for reading, and return its file descriptor.

    Only a regular file is opened: symbolic links are not followed, and the call never waits for a
    pipe or a device.

    Raises:
        RefusedError: the path is not a regular file.
        OSError: the file does not exist, or may not be read.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        if stat.S_IFMT(os.lstat(path).st_mode) not in (stat.S_IFREG, stat.S_IFLNK):
            raise RefusedError(f"{path}: not a regular file")  # opening a device may act on it
        descriptor = os.open(path, flags)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise RefusedError(f"{path}: a symbolic link, which is not followed") from None
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise RefusedError(f"{path}: not a regular file")
    return descriptor


@contextmanager
def regular_file(path: Path) -> Iterator[tuple[BufferedReader, int]]:
    """Open an untrusted file; yield the file and its size in bytes.

    Raises:
        FileNotFoundError: `path` does not exist.
        RefusedError: it is not a regular file, or may not be read.
    """
    try:
        descriptor = open_regular(path)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise RefusedError(f"{path}: {error.strerror}") from None
    with os.fdopen(descriptor, "rb") as file:
        try:
            yield file, os.fstat(descriptor).st_size
        except OSError as error:
            if error.filename is not None:  # the error is about another file
                raise
            raise RefusedError(f"{path}: {error.strerror}") from None


def read_regular(path: Path, limit: int) -> bytes:
    """Return the content of an untrusted file; see `regular_file`.

    Raises:
        FileNotFoundError: `path` does not exist.
        RefusedError: it is not a regular file, or has more than `limit` bytes.
    """
    with regular_file(path) as (file, size):
        if size > limit:
            raise RefusedError(f"{path}: has {size:,} bytes; at most {limit:,} are allowed")
        return file.read(limit)


def files_below(folder: Path) -> list[Path]:
    """Return every path below an untrusted folder that is not a folder, sorted.

    Symbolic links are returned, not followed.

    Raises:
        RefusedError: folders are nested deeper than those of any dataset.
        OSError: a folder cannot be read.
    """
    found: list[Path] = []
    folders = [(folder, 0)]
    while folders:
        at, depth = folders.pop()
        if depth > MAX_DEPTH:
            raise RefusedError(f"{folder}: holds folders more than {MAX_DEPTH} deep")
        with os.scandir(at) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append((Path(entry.path), depth + 1))
                else:
                    found.append(Path(entry.path))
    return sorted(found)

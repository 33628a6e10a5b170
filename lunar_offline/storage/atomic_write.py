"""Files and folders that are either complete or absent after a crash."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write_atomic(path: Path, content: bytes) -> None:
    """Write a temporary file in the same directory, fsync, rename to `path`, fsync the directory.

    Raises:
        OSError: the file could not be written; an existing file at `path` is unchanged. The error's
            `filename` is set.
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
    """Set the filename of an OSError, because that of a full disk has none."""
    try:
        yield
    except OSError as error:
        error.filename, error.filename2 = str(path), None
        raise


def sync_tree(path: Path) -> None:
    """Fsync every file and directory below a directory, and the directory itself."""
    for inside in [*path.rglob("*"), path]:
        if inside.is_dir():
            sync_directory(inside)
        else:
            with inside.open("rb") as file:
                os.fsync(file.fileno())


def sync_directory(path: Path) -> None:
    """Fsync a directory, so that renames inside it survive a crash."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

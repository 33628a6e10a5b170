"""What is on disk is either whole or absent."""

import os
from pathlib import Path


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

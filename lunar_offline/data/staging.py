"""A hidden folder beside the datasets for what is not whole yet; one left by a crash goes away."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lunar_offline.data.ids import FOLDER, datasets_root

PREFIX = ".arriving-"  # ids have no dot, so no journal has such a name


@contextmanager
def staging() -> Iterator[Path]:
    """Make an empty folder on the file system of the datasets and remove it at the end.

    Whoever has it holds its lock, so a folder without one was left by a crash: the next call
    removes it.
    """
    home = datasets_root() / FOLDER
    home.mkdir(parents=True, exist_ok=True)
    for left in home.glob(f"{PREFIX}*"):
        if (lock := _lock(left)) is not None:
            _remove(left, lock)
    folder, lock = _make(home)
    try:
        yield folder
    finally:
        _remove(folder, lock)


def _make(home: Path) -> tuple[Path, int]:
    while True:  # another process may take a folder that has no lock yet for one left by a crash
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=home))
        if (lock := _lock(folder)) is not None:
            if folder.exists():
                return folder, lock
            os.close(lock)


def _lock(folder: Path) -> int | None:
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def _remove(folder: Path, lock: int) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    os.close(lock)

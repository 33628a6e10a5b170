"""Make the cache file of a dataset: a conversion in a separate process, whose result is kept."""

import errno
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from lunar_offline.datasets import cache
from lunar_offline.datasets.cache import Flat
from lunar_offline.datasets.readers import sandbox
from lunar_offline.datasets.readers.request import Request
from lunar_offline.errors import RefusedError
from lunar_offline.storage.atomic_write import sync_directory
from lunar_offline.storage.plain_text import one_line

STALE_SECONDS = 3600
UNWRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS)


def make_cache(request: Request, path: Path, check_unchanged: Callable[[], None]) -> Flat:
    """Make the cache file of a request and map it; remove it if the datasets are not writable.

    The file name is derived from the sha256 of the data, so the file is kept only after
    `check_unchanged`: the data may change during the conversion, and a trusted manifest may state a
    wrong sha256.
    """
    kept = True
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="making-", dir=path.parent))
    except OSError as error:
        if error.errno not in UNWRITABLE:
            raise
        folder, kept = Path(tempfile.mkdtemp(prefix="lunar-offline-")), False
    made = folder / path.name
    try:
        try:
            sandbox.convert(request._replace(out=str(made)))
        except RefusedError as error:
            raise RefusedError(f"{request.data}: {one_line(error)}") from None
        check_unchanged()
        if kept:
            _put(made, path)
            sync_directory(path.parent)
        return cache.open_flat(path if kept else made, request.key, request.dtype, check=False)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if kept:
            _remove_stale(path.parent)


def _put(made: Path, path: Path) -> None:
    try:
        made.replace(path)
    except IsADirectoryError:
        raise RefusedError(f"{path}: a folder in place of a cache file; remove it") from None


def _remove_stale(folder: Path) -> None:
    """Remove the folders of processes that were killed while they made a cache file."""
    for leftover in folder.glob("making-*"):
        with suppress(FileNotFoundError):  # another process has just removed it
            if time.time() - leftover.stat().st_mtime > STALE_SECONDS:
                shutil.rmtree(leftover, ignore_errors=True)

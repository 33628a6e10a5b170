"""What we write is either whole or absent; what strangers wrote is opened with care."""

import errno
import json
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any

from lunar_offline.errors import RefusedError

MAX_DEPTH = 8
MAX_DIGITS = 1000


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
        RefusedError: it is something else.
        OSError: it is not there, or may not be read.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        if stat.S_IFMT(os.lstat(path).st_mode) not in (stat.S_IFREG, stat.S_IFLNK):
            raise RefusedError(f"{path}: not a regular file")  # opening a device may do things
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
        try:
            yield file, os.fstat(descriptor).st_size
        except OSError as error:
            if error.filename is not None:  # of another file
                raise
            raise RefusedError(f"{path}: {error.strerror}") from None


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


def files_below(folder: Path) -> list[Path]:
    """Return all below a stranger's folder that is no folder, sorted; links are not followed.

    Raises:
        RefusedError: folders lie deeper in each other than any dataset's.
        OSError: one cannot be read.
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


def strict_json(text: str | bytes, parse_constant: Callable[[str], Any] | None = None) -> Any:
    """Parse UTF-8 JSON in which no key stands twice, and that ends neither Python nor patience.

    Args:
        text: as it was read.
        parse_constant: what becomes of NaN and infinities; None takes them, as Minari writes them.

    Raises:
        ValueError: it is not; the message is one line.
    """
    try:
        return json.loads(
            text if isinstance(text, str) else text.decode(),
            object_pairs_hook=_object,
            parse_constant=parse_constant,
            parse_int=_integer,
        )
    except RecursionError:
        raise ValueError("JSON nested too deep") from None


def parse_json(content: bytes) -> Any:
    """Parse JSON of our own as `strict_json` does, and without NaN and infinities."""
    return strict_json(content, _refuse_constant)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value in pairs:
        if name in values:
            raise ValueError(f"the key {name[:40]!r} is there twice")
        values[name] = value
    return values


def _integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"a number of {len(digits):,} digits")
    return int(digits)


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def printable(text: str) -> str:
    """Replace control characters, escape sequences with them, by question marks."""
    return "".join(c if c.isprintable() else "?" for c in text)


def one_line(error: BaseException) -> str:
    """Return the first line of an error's message, shortened and printable."""
    if isinstance(error, RecursionError):
        return "nested too deep"
    lines = str(error).splitlines()
    return printable(lines[0][:200]) if lines else type(error).__name__

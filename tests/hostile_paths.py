"""What may be found where a file of ours should be; each maker is given the path."""

import os
from collections.abc import Callable
from pathlib import Path

Make = Callable[[Path], object]


def text(content: str) -> Make:
    return lambda path: path.write_text(content)


def link(target: str) -> Make:
    return lambda path: path.symlink_to(target)


def sparse(size: int) -> Make:
    """Return the maker of a file of that many zeros, which take no room on disk."""

    def make(path: Path) -> None:
        path.touch()
        os.truncate(path, size)

    return make


def tree(folder: Path) -> dict[str, tuple[int, int]]:
    """Return time of change and size of all that is in a folder, to see that nothing changed."""
    found = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        found[str(path.relative_to(folder))] = (status.st_mtime_ns, status.st_size)
    return found

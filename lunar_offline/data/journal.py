"""Append-only staging of episodes: what has been acknowledged survives any crash.

A journal lies beside the datasets, in `.lunar-offline/ID`. It holds the recipe that it is of, a
lock, and one file per episode, each written whole with a sha256 of its content. Collection may stop
at any moment; the same recipe goes on with the episodes that are missing.
"""

import errno
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from lunar_offline.data.ids import FOLDER, datasets_root, parse_id
from lunar_offline.errors import RefusedError
from lunar_offline.files import write_atomic
from lunar_offline.transitions import FIELDS, Episode

DIGEST_BYTES = 32
RECIPE = "recipe.json"
REMOVALS = 8  # at a time: a file that has been synced is removed at the disk's pace


class Journal:
    """The episodes of one dataset that have been recorded so far; see `open_journal`.

    Attributes:
        path: its folder.
        damaged: files that did not match their sha256 and will be recorded again.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.damaged: list[str] = []
        self._there = self._scan()

    def _scan(self) -> set[int]:
        found = set()
        for file in sorted((self.path / "episodes").glob("[0-9]*")):
            try:
                self.read(int(file.name))
                found.add(int(file.name))
            except RefusedError:
                self.damaged.append(file.name)
                file.unlink()
        return found

    def __len__(self) -> int:
        return len(self._there)

    def __contains__(self, index: object) -> bool:
        return index in self._there

    def append(self, index: int, episode: Episode) -> None:
        """Record an episode; when this returns, no crash can lose it."""
        fields: dict[str, NDArray[Any]] = {
            name: np.ascontiguousarray(getattr(episode, name)) for name in FIELDS
        }
        fields["seed"] = np.array(-1 if episode.seed is None else episode.seed, dtype=np.int64)
        content = save(fields)
        digest = hashlib.sha256(content).digest()
        write_atomic(self._file(index), digest + content)
        self._there.add(index)

    def read(self, index: int) -> Episode:
        """Read an episode back. Raises RefusedError when it is not what was written."""
        file = self._file(index)
        content = file.read_bytes()
        digest, content = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
        if hashlib.sha256(content).digest() != digest:
            raise RefusedError(f"{file}: does not match its sha256")
        try:
            fields = load(content)
            seed = int(fields.pop("seed"))
            return Episode(**fields, seed=None if seed < 0 else seed)
        except (SafetensorError, KeyError, TypeError) as error:
            raise RefusedError(f"{file}: {error}") from None

    def episodes(self, n: int) -> list[Episode]:
        """Return the first n episodes, all of which must be there."""
        return [self.read(index) for index in range(n)]

    def discard(self) -> None:
        """Drop the journal, once its dataset stands."""
        _remove(self.path)

    def _file(self, index: int) -> Path:
        return self.path / "episodes" / f"{index:08d}"


@contextmanager
def open_journal(dataset_id: str, recipe: Mapping[str, Any]) -> Iterator[Journal]:
    """Reserve a dataset id, lock it against other writers, and open its journal.

    Args:
        dataset_id: to be recorded.
        recipe: plain JSON values; a journal of another recipe is not continued.

    Raises:
        UsageError: the id is malformed.
        RefusedError: another process records it, or it was begun with another recipe.
    """
    parse_id(dataset_id)
    path = datasets_root() / FOLDER / dataset_id
    (path / "episodes").mkdir(parents=True, exist_ok=True)
    with _locked(path, dataset_id) as lock:
        text = json.dumps(dict(recipe), sort_keys=True)
        stored = path / RECIPE
        if not stored.is_file():
            write_atomic(stored, text.encode())
        elif stored.read_text(encoding="utf-8") != text:
            raise RefusedError(
                f"dataset {dataset_id} was begun with another recipe; go on with that one, choose "
                f"another --dataset, or remove {path}"
            )
        for leftover in (*path.glob(".*.tmp"), *(path / "episodes").glob(".*.tmp")):
            leftover.unlink()
        journal = Journal(path)
        yield journal
        os.fsync(lock.fileno())


def discard_leftover(dataset_id: str) -> None:
    """Drop the journal of a dataset that stands, if a crash came before that; not one in use."""
    path = datasets_root() / FOLDER / dataset_id
    if path.is_dir():
        with suppress(RefusedError), _locked(path, dataset_id):
            _remove(path)


@contextmanager
def _locked(path: Path, dataset_id: str) -> Iterator[BinaryIO]:
    with (path / "lock").open("wb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise
            raise RefusedError(
                f"dataset {dataset_id} is being recorded by another process"
            ) from None
        yield lock


def _remove(path: Path) -> None:
    """Remove a journal, its recipe last: episodes without one would be taken for another's."""
    with ThreadPoolExecutor(REMOVALS) as pool, suppress(FileNotFoundError):
        pool.map(os.unlink, (path / "episodes").iterdir())
    for name in ("episodes", "staging"):
        shutil.rmtree(path / name, ignore_errors=True)
    for name in (RECIPE, "lock"):
        (path / name).unlink(missing_ok=True)
    with suppress(OSError):
        path.rmdir()  # unless journals of other ids lie below it

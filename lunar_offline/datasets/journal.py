"""The journal of a recording: an episode that was appended survives any crash.

A journal is a folder next to the datasets, `.lunar-offline/ID`. It holds the recipe, a lock, and
one file per episode, which is written atomically and starts with the sha256 of its content. A
collection may stop at any moment; the next one with the same recipe records the missing episodes.
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
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from lunar_offline.datasets.ids import parse_id
from lunar_offline.errors import LunarOfflineError, RefusedError
from lunar_offline.storage.atomic_write import write_atomic
from lunar_offline.storage.datasets_root import FOLDER, datasets_root
from lunar_offline.transitions import FIELDS, Episode

DIGEST_BYTES = 32
RECIPE = "recipe.json"
REMOVALS = 8  # in parallel, because the removal of a synced file waits for the disk


class Journal:
    """The episodes of one dataset that have been recorded so far; see `open_journal`.

    Attributes:
        path: its folder.
        damaged: names of files that did not match their sha256; their episodes must be recorded
            again.
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
        """Store an episode; it survives any crash after this call returns."""
        fields: dict[str, NDArray[Any]] = {
            name: np.ascontiguousarray(getattr(episode, name)) for name in FIELDS
        }
        fields["seed"] = np.array(-1 if episode.seed is None else episode.seed, dtype=np.int64)
        content = save(fields)
        digest = hashlib.sha256(content).digest()
        write_atomic(self._file(index), digest + content)
        self._there.add(index)

    def read(self, index: int) -> Episode:
        """Return a stored episode. Raises RefusedError if its file is damaged."""
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
        """Return the first n episodes, all of which must be stored."""
        return [self.read(index) for index in range(n)]

    def discard(self) -> None:
        """Remove the journal, after its dataset is published."""
        remove_journal(self.path)

    def _file(self, index: int) -> Path:
        return self.path / "episodes" / f"{index:08d}"


@contextmanager
def open_journal(dataset_id: str, recipe: Mapping[str, Any]) -> Iterator[Journal]:
    """Reserve a dataset id, lock it against other writers, and open its journal.

    A journal that an error leaves without an episode is removed.

    Args:
        dataset_id: id of the dataset to record.
        recipe: plain JSON values; a journal of another recipe is refused.

    Raises:
        UsageError: the id is malformed.
        RefusedError: another process records this dataset, or its journal has another recipe.
    """
    parse_id(dataset_id)
    path = datasets_root() / FOLDER / dataset_id
    (path / "episodes").mkdir(parents=True, exist_ok=True)
    with _locked(path, dataset_id):
        text = json.dumps(dict(recipe), sort_keys=True)
        stored = path / RECIPE
        if not stored.is_file():
            write_atomic(stored, text.encode())
        elif stored.read_text(encoding="utf-8") != text:
            raise RefusedError(
                f"dataset {dataset_id} was started with another recipe; continue with that recipe, "
                f"choose another --dataset, or lunar-offline dataset delete {dataset_id}"
            )
        for leftover in (*path.glob(".*.tmp"), *(path / "episodes").glob(".*.tmp")):
            leftover.unlink()
        journal = Journal(path)
        try:
            yield journal
        except LunarOfflineError:
            if not len(journal):  # the corrected recipe may use the id
                journal.discard()
            raise


def discard_leftover(dataset_id: str) -> None:
    """Remove the journal that a crash left after its dataset was published, unless it is in use."""
    path = datasets_root() / FOLDER / dataset_id
    if path.is_dir():
        with suppress(RefusedError), _locked(path, dataset_id):
            remove_journal(path)


@contextmanager
def locked_journal(dataset_id: str) -> Iterator[None]:
    """Lock a dataset id against writers, if anything of it was recorded.

    Raises:
        RefusedError: another process records the dataset.
    """
    path = datasets_root() / FOLDER / dataset_id
    if not path.is_dir():
        yield
        return
    with _locked(path, dataset_id):
        yield


@contextmanager
def _locked(path: Path, dataset_id: str) -> Iterator[None]:
    with (path / "lock").open("wb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise
            raise RefusedError(
                f"dataset {dataset_id} is being recorded by another process"
            ) from None
        yield


def remove_journal(path: Path) -> None:
    """Remove a journal, and its recipe last, so that no episode is left without its recipe."""
    with ThreadPoolExecutor(REMOVALS) as pool, suppress(FileNotFoundError):
        pool.map(os.unlink, (path / "episodes").iterdir())
    for name in ("episodes", "staging"):
        shutil.rmtree(path / name, ignore_errors=True)
    for name in (RECIPE, "lock"):
        (path / name).unlink(missing_ok=True)
    with suppress(OSError):
        path.rmdir()  # fails if the folder contains journals of other ids

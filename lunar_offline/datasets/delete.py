"""Delete a local dataset, with its cache and what is left of its recording."""

import os
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lunar_offline.datasets.dataset import data_sha256
from lunar_offline.datasets.folder import cache_file, open_folder
from lunar_offline.datasets.ids import dataset_path, existing_folder
from lunar_offline.datasets.journal import locked_journal, remove_journal
from lunar_offline.errors import LunarOfflineError, RefusedError
from lunar_offline.storage.atomic_write import sync_directory
from lunar_offline.storage.datasets_root import FOLDER, datasets_root

PREFIX = ".deleting-"  # ids have no dot


@dataclass(frozen=True)
class Deletion:
    """What a deletion removes, or has removed.

    Attributes:
        dataset_id: its Minari id.
        path: its folder; None if only a recording of it was started.
        cache: its cache file; None if there is none.
        recording: whether an unfinished recording of it is stored.
        bytes: size of its folder and cache.
    """

    dataset_id: str
    path: Path | None
    cache: Path | None
    recording: bool
    bytes: int


def plan_deletion(dataset_id: str) -> Deletion:
    """Return what `delete_dataset` removes. A damaged dataset can be deleted too.

    Raises:
        UsageError: the id is malformed, or there is neither a dataset nor a recording of it.
        RefusedError: its folder is a symbolic link or holds no dataset.
    """
    recording = (_journal(dataset_id) / "recipe.json").is_file()
    if recording and not os.path.lexists(dataset_path(dataset_id)):
        return Deletion(dataset_id, None, None, recording, 0)
    path = existing_folder(dataset_id)
    if path.is_symlink() or not (path / "data").is_dir():
        raise RefusedError(f"{path}: holds no dataset")
    cache = None
    with suppress(LunarOfflineError):  # it cannot be read, so it has no cache
        folder = open_folder(dataset_id)
        sha256 = data_sha256(folder.data, folder.metadata.format)
        cache = cache_file(folder.cache_key(sha256))
    cache = cache if cache is not None and cache.is_file() else None
    files = [file for file in path.rglob("*") if file.is_file() and not file.is_symlink()]
    size = sum(file.stat().st_size for file in (*files, *([cache] if cache else [])))
    return Deletion(dataset_id, path, cache, recording, size)


def delete_dataset(planned: Deletion) -> None:
    """Delete a dataset: it disappears with one rename, and its files are removed afterwards.

    The next deletion removes what a crash left of the files.

    Raises:
        RefusedError: another process records the dataset.
    """
    root, dataset_id = datasets_root(), planned.dataset_id
    with locked_journal(dataset_id):
        if planned.path is not None:
            (root / FOLDER).mkdir(exist_ok=True)
            aside = Path(tempfile.mkdtemp(prefix=PREFIX, dir=root / FOLDER))
            planned.path.rename(aside / "dataset")
            sync_directory(planned.path.parent)
        if planned.cache is not None:
            planned.cache.unlink(missing_ok=True)
        remove_journal(_journal(dataset_id))
    for leftover in (root / FOLDER).glob(f"{PREFIX}*"):
        shutil.rmtree(leftover, ignore_errors=True)


def _journal(dataset_id: str) -> Path:
    return datasets_root() / FOLDER / dataset_id

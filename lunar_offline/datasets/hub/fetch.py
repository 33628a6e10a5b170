"""Fetch a dataset from a remote: complete and checked, or not at all."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from lunar_offline.datasets.dataset import read_dataset
from lunar_offline.datasets.hub.locations import open_remote, remote_address
from lunar_offline.datasets.hub.remote import (
    DATA,
    METADATA,
    LocalFile,
    Remote,
    RemoteFile,
    Transfer,
    difference,
    receive,
)
from lunar_offline.datasets.ids import dataset_path, parse_id
from lunar_offline.datasets.manifest import CARD, MANIFEST, file_sha256, read_manifest
from lunar_offline.datasets.metadata import read_metadata
from lunar_offline.datasets.publish import minari_root, settle
from lunar_offline.errors import LunarOfflineError, RefusedError, RemoteError
from lunar_offline.progress import Kilobytes, Observer, Silent
from lunar_offline.storage.datasets_root import FOLDER, datasets_root

MAX_TEXT_BYTES = 4 << 20
HDF5_BYTES_PER_EPISODE = 32 << 10
MOST_BYTES_PER_STEP = 256  # several times the size in any known layout
PREFIX = ".arriving-"  # ids have no dot, so no journal has a name like this


def fetch_dataset(
    dataset_id: str,
    *,
    remote: str | None,
    dry_run: bool = False,
    observer: Observer | None = None,
) -> Transfer:
    """Fetch a dataset from a remote: complete and checked, or not at all.

    No code that the dataset names is run. One rename publishes the dataset under its id, so a crash
    at any moment leaves no part of it. If the environment has a token, it is used.

    Args:
        dataset_id: a dataset that this project or `minari upload` sent.
        remote: `hf://USER` or `gcp://BUCKET`.
        dry_run: only list the files that would be fetched.
        observer: receives the progress in kB; None reports nothing.

    Raises:
        UsageError: the id, the remote or the token is malformed.
        RefusedError: a different local dataset has that id, or the reader refuses the dataset.
        RemoteError: the remote failed, does not have the dataset, or sent invalid files.
    """
    remote = remote_address(remote)
    parse_id(dataset_id)
    store = open_remote(remote, token_needed=False)
    there, target = store.look(dataset_id), dataset_path(dataset_id)
    _check_listing(f"{remote}/{dataset_id}", there, "" if store.secret else store.variable)
    files = {name: {"bytes": file.bytes} for name, file in sorted(there.items())}
    result = Transfer(dataset_id, remote, dataset_id, target, files, dry_run=dry_run)
    if dry_run:
        return result
    progress = Kilobytes(observer or Silent())
    if target.exists():
        sha256 = _same_sha256(store, there, target, progress)
        return replace(result, sha256=sha256, existed=True)
    with staging() as folder:
        try:
            with minari_root(folder):
                manifest = _take(store, there, dataset_id, progress)
                sha256 = read_dataset(dataset_id).sha256
        except RefusedError as error:
            raise RefusedError(str(error).replace(str(folder), remote)) from None
        settle(folder / dataset_id, dataset_id)
    return replace(result, sha256=sha256, manifest=manifest)


def _check_listing(where: str, there: Mapping[str, RemoteFile], unset: str) -> None:
    """Raise RemoteError unless the listing is a complete dataset of plausible size."""
    if not there:
        private = f"; if it is private, set {unset}" if unset else ""
        raise RemoteError(f"{where}: there is no such dataset{private}")
    for name in (METADATA, DATA):
        if name not in there:
            raise RemoteError(
                f"{where}: {name} is missing, as after an incomplete upload; its owner can "
                "complete the upload with the same command"
            )
    for name in there.keys() - {DATA}:
        if there[name].bytes > MAX_TEXT_BYTES:
            raise RemoteError(f"{where}/{name}: too large")


def _same_sha256(
    store: Remote, there: Mapping[str, RemoteFile], target: Path, progress: Kilobytes
) -> str:
    """Return the sha256 of the data; raise RefusedError if local and remote files differ."""
    paths = [path for path in target.rglob("*") if path.is_file()]
    local = {p.relative_to(target).as_posix(): LocalFile(p, file_sha256(p)) for p in paths}
    progress.phase("comparing", sum(file.bytes for file in there.values()))
    different = next(iter(sorted(local.keys() - there.keys())), None)
    if different := different or difference(store, there, local, progress.advance):
        raise RefusedError(
            f"{target}: differs from the dataset on {store.address} ({different} differs); a "
            "published dataset never changes"
        )
    return local[DATA].sha256


def _take(
    store: Remote, there: Mapping[str, RemoteFile], dataset_id: str, progress: Kilobytes
) -> bool:
    """Download and check the files of a dataset; return whether they include a manifest.

    The small files are downloaded first, so that data that do not match them are never downloaded.
    `snapshot_download` is not used: if it fails, it leaves the files that it already has in place.
    """
    made = dataset_path(dataset_id)
    (made / "data").mkdir(parents=True)
    expected, room = sum(file.bytes for file in there.values()), shutil.disk_usage(made).free
    if expected > room:
        raise LunarOfflineError(
            f"{made}: needs {expected} bytes, but the disk has {room} bytes free"
        )
    progress.phase("fetching", expected)
    listed = None
    for name in sorted(there, key=(MANIFEST, METADATA, CARD, DATA).index):
        where = there[name].where
        with (made / name).open("wb") as out:
            sha256 = receive(store, there[name], progress.advance, out)
        if name == MANIFEST:
            listed = _listed_files(where, made, there)
        elif listed and sha256 != listed[name]["sha256"]:
            raise RemoteError(f"{where}: does not match its sha256 in {MANIFEST}")
        if name == METADATA:
            _check_size(where, dataset_id, there[DATA].bytes)
    return listed is not None


def _listed_files(where: str, made: Path, there: Mapping[str, RemoteFile]) -> dict[str, Any]:
    """Return the files of a manifest; raise RemoteError unless they are those of the remote."""
    try:
        files = (read_manifest(made) or {})["files"]
    except (RefusedError, KeyError):
        raise RemoteError(f"{where}: is not a manifest") from None
    held = {name: file.bytes for name, file in there.items() if name != MANIFEST}
    listed = {name: entry.get("bytes") for name, entry in files.items()}
    for name in sorted(held.keys() | listed.keys()):
        if held.get(name) != listed.get(name):
            raise RemoteError(
                f"{where}: lists {name} with {listed.get(name, 'no')} bytes, but the remote has "
                f"{held.get(name, 'none')}"
            )
    return files


def _check_size(where: str, dataset_id: str, data_bytes: int) -> None:
    """Check the metadata; raise RemoteError if the data are far larger than it states."""
    metadata = read_metadata(dataset_path(dataset_id), dataset_id)
    most = metadata.steps * MOST_BYTES_PER_STEP + metadata.episodes * HDF5_BYTES_PER_EPISODE
    if data_bytes > most + MAX_TEXT_BYTES:
        raise RemoteError(
            f"{where}: states {metadata.steps} steps, but the data have {data_bytes} bytes"
        )


@contextmanager
def staging() -> Iterator[Path]:
    """Make an empty folder on the file system of the datasets, and remove it at the end.

    The process that uses the folder holds its lock. A folder without a lock was left by a crash,
    and the next call removes it. A killed download of huggingface_hub leaves a partial file that
    no later one uses or removes.
    """
    home = datasets_root() / FOLDER
    home.mkdir(parents=True, exist_ok=True)
    for left in home.glob(f"{PREFIX}*"):
        if (lock := _lock(left)) is not None:
            _remove(left, lock)
    while True:  # another process may remove the new folder before it is locked
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=home))
        if (lock := _lock(folder)) is not None:
            break
    try:
        yield folder
    finally:
        _remove(folder, lock)


def _lock(folder: Path) -> int | None:
    """Return the lock of a folder; None if another process has it, or the folder is gone."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return None
    with suppress(BlockingIOError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if folder.exists():
            return descriptor
    os.close(descriptor)
    return None


def _remove(folder: Path, lock: int) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    os.close(lock)

"""Take a dataset from a remote: whole, checked and read strictly, or not at all."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lunar_offline.data.ids import dataset_path, parse_id
from lunar_offline.data.manifest import CARD, MANIFEST, file_sha256, read_manifest
from lunar_offline.data.metadata import read_metadata
from lunar_offline.data.parcel import Parcel, difference
from lunar_offline.data.publish import minari_root, settle
from lunar_offline.data.reader import read_dataset
from lunar_offline.data.remote import open_remote, parse_place, token
from lunar_offline.data.remote.base import DATA, FILES, METADATA, Listing, Remote, receive
from lunar_offline.data.staging import staging
from lunar_offline.errors import LunarOfflineError, RefusedError, RemoteError
from lunar_offline.experiment.progress import Kilobytes, Observer, Silent

MAX_TEXT_BYTES = 4 << 20
HDF5_BYTES_PER_EPISODE = 32 << 10
MOST_BYTES_PER_STEP = 256  # several times what any known layout takes


@dataclass(frozen=True)
class Fetched:
    """What came, or would in a dry run.

    Attributes:
        dataset_id: here and there.
        remote: as Minari writes it.
        path: the dataset's folder.
        files: `bytes` of each file of the dataset.
        sha256: of main_data.hdf5; None in a dry run.
        manifest: every file was compared with the dataset's own manifest.
        was_there: the same dataset stood here already.
        dry_run: nothing came.
    """

    dataset_id: str
    remote: str
    path: Path
    files: Mapping[str, Mapping[str, Any]]
    sha256: str | None = None
    manifest: bool = False
    was_there: bool = False
    dry_run: bool = False


def fetch_dataset(
    dataset_id: str,
    *,
    remote: str | None,
    dry_run: bool = False,
    observer: Observer | None = None,
) -> Fetched:
    """Take a dataset from a remote: whole, checked and read strictly, or not at all.

    Nothing that it names is run. It stands under its id after one rename, so a crash at any moment
    leaves none of it; a token is used where the environment has one.

    Args:
        dataset_id: of a dataset that this project or `minari upload` sent.
        remote: `hf://USER` or `gcp://BUCKET`.
        dry_run: list what would come.
        observer: hears of the progress, in kB.

    Raises:
        UsageError: a malformed id or remote, or a token that cannot be one.
        RefusedError: another dataset has that id here, or the reader refuses it.
        RemoteError: the remote failed, has no such dataset, or what came is not what it must be.
    """
    place = parse_place(remote)
    parse_id(dataset_id)
    secret = token(place, needed=False)
    store = open_remote(place, secret)
    listing = store.look(dataset_id)
    _check_listing(f"{place}/{dataset_id}", listing, "" if secret else place.token_variable)
    target = dataset_path(dataset_id)
    files = {name: {"bytes": file.bytes} for name, file in sorted(listing.files.items())}
    if dry_run:
        return Fetched(dataset_id, str(place), target, files, dry_run=True)
    progress = Kilobytes(observer or Silent())
    if target.exists():
        sha256 = _check_same(store, listing, target, progress)
        return Fetched(dataset_id, str(place), target, files, sha256, was_there=True)
    with staging() as folder:
        try:
            with minari_root(folder):
                manifest = _take(store, listing, dataset_id, progress)
                sha256 = read_dataset(dataset_id).sha256
        except RefusedError as error:
            raise RefusedError(str(error).replace(str(folder), str(place))) from None
        settle(folder / dataset_id, dataset_id)
    return Fetched(dataset_id, str(place), target, files, sha256, manifest)


def _check_listing(where: str, listing: Listing, unset: str) -> None:
    """Raise RemoteError unless a whole dataset of a plausible size is listed."""
    if not listing.files:
        private = f"; if it is private, set {unset}" if unset else ""
        raise RemoteError(f"{where}: there is no such dataset{private}")
    for name in (METADATA, DATA):
        if name not in listing.files:
            raise RemoteError(
                f"{where}: {name} is missing, as after half an upload; whoever shared it completes "
                "it with the same command"
            )
    for name in FILES - {DATA}:
        if name in listing.files and listing.files[name].bytes > MAX_TEXT_BYTES:
            raise RemoteError(f"{where}/{name}: too large")


def _check_same(store: Remote, listing: Listing, target: Path, progress: Kilobytes) -> str:
    """Return the sha256 of the data; raise RefusedError unless both sides are the same."""
    local = {p.relative_to(target).as_posix(): p for p in target.rglob("*") if p.is_file()}
    parcel = Parcel(target.name, local, {name: file_sha256(path) for name, path in local.items()})
    progress.phase("comparing", sum(file.bytes for file in listing.files.values()))
    different = next(iter(sorted(set(local) - set(listing.files))), None)
    different = different or difference(store, listing, parcel, progress.advance)
    if different:
        raise RefusedError(
            f"{target}: has another content than {store.place} ({different} differs), and a "
            "published dataset never changes"
        )
    return parcel.sha256[DATA]


def _take(store: Remote, listing: Listing, dataset_id: str, progress: Kilobytes) -> bool:
    """Write a dataset's files under Minari's root, checked; say whether a manifest came with them.

    The small files come first, so that data that are not theirs are not taken at all.
    """
    made = dataset_path(dataset_id)
    (made / "data").mkdir(parents=True)
    expected = sum(file.bytes for file in listing.files.values())
    room = shutil.disk_usage(made).free
    if expected > room:
        raise LunarOfflineError(f"{made}: {expected} bytes needed, {room} free on this disk")
    progress.phase("fetching", expected)
    manifest = None
    for name in sorted(listing.files, key=(MANIFEST, METADATA, CARD, DATA).index):
        with (made / name).open("wb") as out:
            sha256 = receive(store, listing.files[name], out, progress.advance)
        where = listing.files[name].where
        if name == MANIFEST:
            manifest = _read_manifest(where, made)
            _check_sizes(where, manifest, listing)
        elif manifest and sha256 != manifest["files"][name]["sha256"]:
            raise RemoteError(f"{where}: does not match its sha256 in {MANIFEST}")
        if name == METADATA:
            _check_size(where, dataset_id, listing.files[DATA].bytes)
    return manifest is not None


def _read_manifest(where: str, made: Path) -> dict[str, Any]:
    try:
        manifest = read_manifest(made)
    except RefusedError:
        manifest = None
    if manifest is None:
        raise RemoteError(f"{where}: is no manifest")
    return manifest


def _check_sizes(where: str, manifest: Mapping[str, Any], listing: Listing) -> None:
    there = {name: file.bytes for name, file in listing.files.items() if name != MANIFEST}
    listed = {name: entry.get("bytes") for name, entry in manifest["files"].items()}
    for name in sorted(there.keys() | listed.keys()):
        if there.get(name) != listed.get(name):
            raise RemoteError(
                f"{where}: lists {name} with {listed.get(name, 'no')} bytes, and there are "
                f"{there.get(name, 'none')}"
            )


def _check_size(where: str, dataset_id: str, data_bytes: int) -> None:
    """Read the metadata strictly; raise RemoteError where far more data would come than it says."""
    metadata = read_metadata(dataset_id)
    most = metadata.steps * MOST_BYTES_PER_STEP + metadata.episodes * HDF5_BYTES_PER_EPISODE
    if data_bytes > most + MAX_TEXT_BYTES:
        raise RemoteError(
            f"{where}: says {metadata.steps} steps, but {data_bytes} bytes would come"
        )

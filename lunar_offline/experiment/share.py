"""Send a dataset to a remote and prove that it came there as it is here."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lunar_offline.data.ids import parse_id
from lunar_offline.data.parcel import Parcel, difference, pack
from lunar_offline.data.remote import open_remote, parse_place, token
from lunar_offline.data.remote.base import Remote
from lunar_offline.errors import RefusedError, RemoteError
from lunar_offline.experiment.progress import Kilobytes, Observer, Silent


@dataclass(frozen=True)
class Shared:
    """What was sent, or would be in a dry run.

    Attributes:
        dataset_id: the local one.
        remote: as Minari writes it.
        remote_id: the id that it has there.
        files: `bytes` and `sha256` of each file of the dataset.
        sent: the names of those that were not there yet.
        announced: Minari's index had to be told of it.
        dry_run: nothing was sent, nobody was asked.
    """

    dataset_id: str
    remote: str
    remote_id: str
    files: Mapping[str, Mapping[str, Any]]
    sent: list[str]
    announced: bool = False
    dry_run: bool = False


def share_dataset(
    dataset_id: str,
    *,
    remote: str | None,
    remote_id: str | None = None,
    dry_run: bool = False,
    observer: Observer | None = None,
) -> Shared:
    """Send a checked dataset to a remote, where `minari download` finds it, and read it back.

    What is there already is never overwritten. Half an upload of this very dataset is completed;
    a whole one is left as it is.

    Args:
        dataset_id: a local dataset with a manifest.
        remote: `hf://USER` or `gcp://BUCKET`.
        remote_id: the id to have there; None is the same. The local dataset stays as it is.
        dry_run: check and describe it only; neither network nor token is needed.
        observer: hears of the progress, in kB.

    Raises:
        UsageError: no such dataset, a malformed id or remote, no token in the environment.
        RefusedError: the dataset is not what its manifest says, the id is taken by another content,
            or Hugging Face could not serve it under its id.
        RemoteError: the remote failed, or holds something else after the transfer.
    """
    place, remote_id = parse_place(remote), remote_id or dataset_id
    parse_id(remote_id)
    if place.scheme == "hf" and "/" not in remote_id:
        raise RefusedError(
            f"on Hugging Face Minari finds no dataset without a namespace, such as {remote_id}; "
            f"use: lunar-offline share {dataset_id} --remote {place} --as box2d/{remote_id}"
        )
    secret = "" if dry_run else token(place, needed=True)
    parcel = pack(dataset_id, remote_id)
    files = {
        name: {"bytes": parcel.bytes(name), "sha256": parcel.sha256[name]}
        for name in sorted(parcel.contents)
    }
    if dry_run:
        return Shared(dataset_id, str(place), remote_id, files, sorted(files), dry_run=True)
    store = open_remote(place, secret)
    progress = Kilobytes(observer or Silent())
    listing = store.look(remote_id)
    progress.phase("comparing", sum(file.bytes for file in listing.files.values()))
    if different := difference(store, listing, parcel, progress.advance):
        raise RefusedError(
            f"{place} has another {remote_id} ({different} differs), and what is published never "
            "changes; give a free id with --as"
        )
    missing = {name: parcel.contents[name] for name in files if name not in listing.files}
    announcements = store.announcements(remote_id, listing)
    if missing or announcements:
        progress.phase("sending", sum(parcel.bytes(name) for name in missing))
        store.send(remote_id, missing, announcements, listing, progress.advance)
        _prove(store, parcel, progress)
    return Shared(dataset_id, str(place), remote_id, files, sorted(missing), bool(announcements))


def _prove(store: Remote, parcel: Parcel, progress: Kilobytes) -> None:
    """Read everything back; raise RemoteError unless each file has the sha256 that it has here."""
    listing = store.look(parcel.dataset_id)
    where = f"{store.place}/{parcel.dataset_id}"
    if missing := sorted(set(parcel.contents) - set(listing.files)):
        raise RemoteError(f"{where}: {missing[0]} was sent and is not there; share it again")
    progress.phase("reading back", sum(file.bytes for file in listing.files.values()))
    if different := difference(store, listing, parcel, progress.advance):
        raise RemoteError(f"{where}/{different}: has another sha256 than what was sent")

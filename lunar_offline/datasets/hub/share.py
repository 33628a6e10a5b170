"""Send a dataset to a remote, and check that its files there equal the local ones."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import replace

from lunar_offline.datasets.dataset import read_folder
from lunar_offline.datasets.folder import open_folder
from lunar_offline.datasets.hub.locations import open_remote, remote_address
from lunar_offline.datasets.hub.remote import (
    DATA,
    FILES,
    METADATA,
    LocalFile,
    Remote,
    Transfer,
    difference,
)
from lunar_offline.datasets.ids import dataset_path, parse_id
from lunar_offline.datasets.manifest import CARD, MANIFEST, check_files, file_sha256, manifest_text
from lunar_offline.errors import RefusedError, RemoteError
from lunar_offline.progress import Kilobytes, Observer, Silent


def share_dataset(
    dataset_id: str,
    *,
    remote: str | None,
    remote_id: str | None = None,
    dry_run: bool = False,
    observer: Observer | None = None,
) -> Transfer:
    """Check a dataset, send it to a remote where `minari download` finds it, and read it back.

    Existing files are never overwritten. An incomplete upload of the same dataset is completed; a
    complete one is left unchanged.

    Args:
        dataset_id: a local dataset with a manifest.
        remote: `hf://USER` or `gcp://BUCKET`.
        remote_id: the id on the remote; None takes the local id. The local dataset is unchanged.
        dry_run: only check and describe the dataset, without network and token.
        observer: receives the progress in kB; None reports nothing.

    Raises:
        UsageError: the dataset does not exist, the id or remote is malformed, or the environment
            has no token.
        RefusedError: the dataset differs from its manifest, a different dataset on the remote has
            the id, or Minari could not find the id on Hugging Face.
        RemoteError: the remote failed, or its files differ after the transfer.
    """
    remote, remote_id = remote_address(remote), remote_id or dataset_id
    parse_id(remote_id)
    if remote.startswith("hf:") and "/" not in remote_id:
        raise RefusedError(
            f"on Hugging Face, Minari finds only ids with a namespace, and {remote_id} has none; "
            f"use: lunar-offline share {dataset_id} --remote {remote} --as box2d/{remote_id}"
        )
    store = None if dry_run else open_remote(remote, token_needed=True)
    local = pack(dataset_id, remote_id)
    files = {name: {"bytes": f.bytes, "sha256": f.sha256} for name, f in sorted(local.items())}
    result = Transfer(
        dataset_id, remote, remote_id, dataset_path(dataset_id), files, sorted(files),
        sha256=local[DATA].sha256, manifest=True, dry_run=dry_run,
    )  # fmt: skip
    if store is None:
        return result
    progress, there = Kilobytes(observer or Silent()), store.look(remote_id)
    progress.phase("comparing", sum(file.bytes for file in there.values()))
    if different := difference(store, there, local, progress.advance):
        raise RefusedError(
            f"{remote} already has a different {remote_id} ({different} differs); a published "
            "dataset never changes, so give a free id with --as"
        )
    missing = {name: local[name] for name in files if name not in there}
    progress.phase("sending", sum(file.bytes for file in missing.values()))
    announced = store.send(remote_id, missing, progress.advance)
    existed = not missing and not announced
    if not existed:
        _prove(store, remote_id, local, progress)
    return replace(result, sent=list(missing), announced=announced, existed=existed)


def pack(dataset_id: str, new_id: str) -> dict[str, LocalFile]:
    """Check a local dataset, and prepare its files for upload; nothing is written to disk.

    If the ids differ, metadata and card contain the new id, and the manifest contains their new
    sha256; the data file is the same. The same dataset and ids always give the same bytes.

    Raises:
        UsageError: there is no such dataset.
        RefusedError: the dataset differs from its manifest, has none, or cannot be read.
    """
    found = open_folder(dataset_id)
    folder, manifest = found.path, found.required_manifest("to compare with after the transfer")
    for name in sorted(manifest["files"].keys() - FILES):
        raise RefusedError(f"{folder}: {name} is not a file of an HDF5 dataset; no other is sent")
    check_files(folder, manifest, data=False)
    read_folder(found)  # checks the data
    files = {n: LocalFile(folder / n, entry["sha256"]) for n, entry in manifest["files"].items()}
    files[MANIFEST] = LocalFile(folder / MANIFEST, file_sha256(folder / MANIFEST))
    if new_id == dataset_id:
        return files
    metadata = found.metadata.values
    alone = rf"(?<![-\w/]){re.escape(dataset_id)}(?![-\w/])"
    card = re.sub(alone, new_id, (folder / CARD).read_text(encoding="utf-8"))
    files[METADATA] = _in_memory(json.dumps(metadata | {"dataset_id": new_id}).encode())
    files[CARD] = _in_memory(card.encode())
    changed = {n: {"sha256": files[n].sha256, "bytes": files[n].bytes} for n in (METADATA, CARD)}
    listed = {"dataset_id": new_id, "files": manifest["files"] | changed}
    files[MANIFEST] = _in_memory(manifest_text(manifest | listed))
    return files


def _in_memory(content: bytes) -> LocalFile:
    return LocalFile(content, hashlib.sha256(content).hexdigest())


def _prove(
    store: Remote, remote_id: str, local: Mapping[str, LocalFile], progress: Kilobytes
) -> None:
    """Read all files back; raise RemoteError unless each has the sha256 of the local file.

    It is written by hand, as no library reads back what it sent.
    """
    there, where = store.look(remote_id), f"{store.address}/{remote_id}"
    if missing := sorted(local.keys() - there.keys()):
        raise RemoteError(f"{where}: {missing[0]} was sent but is missing; share the dataset again")
    progress.phase("reading back", sum(file.bytes for file in there.values()))
    if different := difference(store, there, local, progress.advance):
        raise RemoteError(f"{where}/{different}: its sha256 differs from that of the sent file")

"""A dataset made ready to be sent: its files, checked, under the id that they will have there."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lunar_offline.data.ids import check_there
from lunar_offline.data.manifest import (
    CARD,
    MANIFEST,
    check_files,
    file_sha256,
    manifest_text,
    read_manifest,
)
from lunar_offline.data.reader import read_dataset
from lunar_offline.data.remote.base import (
    FILES,
    METADATA,
    Advance,
    Content,
    Listing,
    Remote,
    receive,
    size,
)
from lunar_offline.errors import RefusedError


@dataclass(frozen=True)
class Parcel:
    """What is to be sent.

    Attributes:
        dataset_id: the id that it will have.
        contents: the files by name, on disk or in memory.
        sha256: of each.
    """

    dataset_id: str
    contents: Mapping[str, Content]
    sha256: Mapping[str, str]

    def bytes(self, name: str) -> int:
        """Return the size of a file."""
        return size(self.contents[name])


def pack(dataset_id: str, new_id: str) -> Parcel:
    """Check a local dataset and make it ready to be sent; nothing is written.

    Under another id, metadata and card say that one, and the manifest holds their new sha256; the
    episodes are the same file. The same dataset and ids always give the same bytes.

    Args:
        dataset_id: a local dataset.
        new_id: the id to send it under.

    Raises:
        UsageError: there is no such dataset.
        RefusedError: it is not what its manifest says, has none, or cannot be read.
    """
    folder = check_there(dataset_id)
    manifest = read_manifest(folder)
    if manifest is None:
        raise RefusedError(f"{folder}: has no {MANIFEST} to be compared with after the transfer")
    for name in sorted(manifest["files"].keys() - FILES):
        raise RefusedError(f"{folder}: {name} is no file of an HDF5 dataset, and others stay here")
    check_files(folder, manifest)
    read_dataset(dataset_id)
    contents: dict[str, Content] = {name: folder / name for name in manifest["files"]}
    contents[MANIFEST] = folder / MANIFEST
    sha256 = {name: entry["sha256"] for name, entry in manifest["files"].items()}
    sha256[MANIFEST] = file_sha256(folder / MANIFEST)
    if new_id != dataset_id:
        texts = {
            METADATA: _renamed_metadata(folder / METADATA, new_id),
            CARD: _renamed_card(folder / CARD, dataset_id, new_id),
        }
        files = dict(manifest["files"])
        for name, text in texts.items():
            files[name] = {"sha256": hashlib.sha256(text).hexdigest(), "bytes": len(text)}
        texts[MANIFEST] = manifest_text(manifest | {"dataset_id": new_id, "files": files})
        contents |= texts
        sha256 |= {name: hashlib.sha256(text).hexdigest() for name, text in texts.items()}
    return Parcel(new_id, contents, sha256)


def difference(
    remote: Remote, listing: Listing, parcel: Parcel, advance: Advance = lambda _: None
) -> str | None:
    """Read what a remote lists and return the first file that is not the parcel's, byte for byte.

    Files that are not listed are no difference. Raises RemoteError when the remote fails.
    """
    for name, file in listing.files.items():
        if name not in parcel.contents or file.bytes != parcel.bytes(name):
            return name
    for name, file in listing.files.items():
        if receive(remote, file, advance=advance) != parcel.sha256[name]:
            return name
    return None


def _renamed_metadata(path: Path, new_id: str) -> bytes:
    metadata = json.loads(path.read_text(encoding="utf-8"))
    return json.dumps(metadata | {"dataset_id": new_id}).encode()


def _renamed_card(path: Path, dataset_id: str, new_id: str) -> bytes:
    alone = rf"(?<![-\w/]){re.escape(dataset_id)}(?![-\w/])"
    return re.sub(alone, new_id, path.read_text(encoding="utf-8")).encode()

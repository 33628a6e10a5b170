"""The manifest of a published dataset: the sha256 of every file, and the provenance."""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lunar_offline.errors import RefusedError
from lunar_offline.storage.atomic_write import write_atomic
from lunar_offline.storage.plain_text import one_line, printable
from lunar_offline.storage.strict_json import strict_json
from lunar_offline.storage.untrusted_files import files_below, open_regular, read_regular

MANIFEST = "manifest.json"
CARD = "README.md"
LICENSE = "MIT"
CITATION = (
    "Enhancing Lunar Lander Performance with Offline-online combined CQL-SAC Approaches; "
    "recorded by lunar_offline."
)
MAX_BYTES = 1 << 20
HOLES_FROM = 64 << 20


def file_sha256(path: Path) -> str:
    """Return the sha256 of a regular file's content.

    Raises:
        RefusedError: it is not a regular file, or it is a sparse file, which real data never are.
        OSError: it does not exist, or may not be read.
    """
    with os.fdopen(open_regular(path), "rb") as file:
        about = os.fstat(file.fileno())
        if about.st_size > HOLES_FROM and about.st_blocks * 512 * 16 < about.st_size:
            raise RefusedError(f"{path}: a sparse file")
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_manifest(folder: Path, about: Mapping[str, Any]) -> None:
    """Write the manifest of a dataset after all its other files.

    Args:
        folder: the dataset's folder, with `data` and the card.
        about: recipe, provenance and statistics; plain JSON values.
    """
    files = {
        path.relative_to(folder).as_posix(): {
            "sha256": file_sha256(path),
            "bytes": path.stat().st_size,
        }
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != MANIFEST
    }
    manifest = {"files": files, "licence": LICENSE, "citation": CITATION, **about}
    write_atomic(folder / MANIFEST, manifest_text(manifest))


def manifest_text(manifest: Mapping[str, Any]) -> bytes:
    """Return the text of a manifest file."""
    text = json.dumps(manifest, indent=1, sort_keys=True, allow_nan=False)
    return text.encode() + b"\n"


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """Read the manifest of a dataset; return None if there is none, as for other tools' datasets.

    Raises:
        RefusedError: the file is not a valid manifest.
    """
    path = folder / MANIFEST
    try:
        manifest = strict_json(read_regular(path, MAX_BYTES))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise RefusedError(f"{path}: {one_line(error)}") from None
    files = manifest.get("files") if isinstance(manifest, dict) else None
    if not isinstance(files, dict):
        raise RefusedError(f"{path}: not a manifest")
    for name, entry in files.items():
        if not {"", ".", ".."}.isdisjoint(name.split("/")):
            raise RefusedError(f"{path}: {printable(name[:80])!r} is a path outside the dataset")
        if name == MANIFEST:
            raise RefusedError(f"{path}: lists itself, but cannot contain its own sha256")
        sha256 = entry.get("sha256") if isinstance(entry, dict) else None
        if not (isinstance(sha256, str) and re.fullmatch("[0-9a-f]{64}", sha256)):
            raise RefusedError(f"{path}: has no sha256 for {printable(name[:80])}")
    return manifest


DATA = "data/"


def check_files(folder: Path, manifest: Mapping[str, Any], *, data: bool) -> None:
    """Compare the data files of a dataset, or all other files, with its manifest.

    Args:
        folder: the dataset's folder.
        manifest: as `read_manifest` returns it.
        data: check the files in the folder `data`; False checks all others.

    Raises:
        RefusedError: a file is missing, is not listed, is not a regular file, or has a different
            sha256.
    """
    try:
        below = files_below(folder)
    except OSError as error:
        raise RefusedError(f"{error.filename}: {error.strerror}") from None
    there = {path.relative_to(folder).as_posix(): path for path in below}
    there = {n: p for n, p in there.items() if n.startswith(DATA) == data and n != MANIFEST}
    listed = {name for name in manifest["files"] if name.startswith(DATA) == data}
    for name in sorted(listed - there.keys()):
        raise RefusedError(f"{folder}: {printable(name[:80])} is missing")
    for name in sorted(there.keys() - listed):
        raise RefusedError(f"{folder}: {printable(name[:80])} is not in its manifest")
    for name in sorted(listed):
        try:
            sha256 = file_sha256(there[name])
        except OSError as error:
            raise RefusedError(f"{there[name]}: {error.strerror}") from None
        if sha256 != manifest["files"][name]["sha256"]:
            raise RefusedError(f"{folder}: {name} does not match its sha256 in {MANIFEST}")

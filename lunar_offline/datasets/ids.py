"""Dataset ids, (namespace/)name-vN, and their folders under Minari's root."""

import os
import re
from contextlib import suppress
from pathlib import Path

from lunar_offline.errors import RefusedError, UsageError
from lunar_offline.storage.datasets_root import datasets_root
from lunar_offline.storage.package_data import shipped_recipes

_ID = re.compile(r"(?P<name>(?:[-_A-Za-z0-9]+/)*[-_A-Za-z0-9]+)-v(?P<version>0|[1-9][0-9]{0,8})")
MAX_PART = 200  # file systems allow 255; the rest is reserved for a version number
MAX_ID = 1000
MAX_PATH = 3000  # file systems allow 4095


def parse_id(dataset_id: str) -> tuple[str, int]:
    """Split an id into its name, including the namespace, and its version.

    Raises:
        UsageError: the id has no version, has characters that Minari does not allow, or is too
            long.
    """
    if len(dataset_id) > MAX_ID or any(len(part) > MAX_PART for part in dataset_id.split("/")):
        raise UsageError(f"dataset id {dataset_id[:40]!r}... is too long")
    match = _ID.fullmatch(dataset_id)
    if match and all(len(part) >= 2 for part in match["name"].split("/")[:-1]):
        return match["name"], int(match["version"])
    if not match and re.fullmatch(r"(?:[-_A-Za-z0-9]+/)*[-_A-Za-z0-9]+", dataset_id):
        raise UsageError(f"dataset id {dataset_id!r} has no version; did you mean {dataset_id}-v0?")
    raise UsageError(f"{dataset_id!r} is not a dataset id, such as lunar-sac-v0 or box2d/x-v1")


def dataset_path(dataset_id: str) -> Path:
    """Return the folder of a dataset, which need not exist. Raises as `parse_id`."""
    parse_id(dataset_id)
    return datasets_root() / dataset_id


def local_versions(name: str) -> list[int]:
    """Return the existing versions of a dataset name, in ascending order."""
    parent = (datasets_root() / name).parent
    stem = name.rsplit("/", 1)[-1]
    found = [
        re.fullmatch(re.escape(stem) + r"-v([0-9]+)", p.name) for p in parent.glob(f"{stem}-v*")
    ]
    return sorted(int(match[1]) for match in found if match)


def local_ids() -> list[str]:
    """Return the ids of all folders below the root that have metadata, sorted.

    A listed dataset may still be incomplete or damaged. Folders from an unknown source may have any
    depth and name: this function enters only folders without metadata, up to a limit on the path.
    """
    root, found = datasets_root(), []
    folders = [root]
    while folders:
        with suppress(FileNotFoundError), os.scandir(folders.pop()) as entries:
            for entry in entries:
                path = Path(entry.path)
                if entry.name.startswith("."):
                    continue
                if os.path.lexists(path / "data" / "metadata.json"):
                    found.append(path.relative_to(root).as_posix())
                elif entry.is_dir(follow_symlinks=False) and len(entry.path) < MAX_PATH:
                    folders.append(path)
    return sorted(found)


def check_free(dataset_id: str) -> None:
    """Raise RefusedError if the id is taken; the message gives the next free version."""
    if os.path.lexists(dataset_path(dataset_id)):
        name, _ = parse_id(dataset_id)
        free = _free_version(name)
        raise RefusedError(
            f"dataset {dataset_id} exists and never changes; the next free version is {free}"
        )


def _free_version(name: str) -> str:
    """Return the id with the next version that is neither in use nor of a shipped recipe."""
    version = max([*local_versions(name), -1]) + 1
    while f"{name}-v{version}" in shipped_recipes():
        version += 1
    return f"{name}-v{version}"


def existing_folder(dataset_id: str) -> Path:
    """Return the folder of an existing dataset.

    Raises:
        UsageError: the dataset does not exist; the message gives its existing versions, or the
            command that makes it.
        RefusedError: its folder is a symbolic link or a file.
    """
    path = dataset_path(dataset_id)
    if path.is_dir():
        data = path / "data"
        if data.resolve() != datasets_root().resolve() / dataset_id / "data":
            raise RefusedError(f"{path}: a symbolic link redirects its data")
        return path
    if os.path.lexists(path):
        raise RefusedError(f"{path}: not a folder")
    name, _ = parse_id(dataset_id)
    versions = local_versions(name)
    hint = "to see those that exist: lunar-offline dataset list"
    if versions:
        hint = "existing versions: " + ", ".join(f"{name}-v{version}" for version in versions)
    elif dataset_id in shipped_recipes():
        hint = f"make it with: lunar-offline collect --recipe {dataset_id}"
    raise UsageError(f"no dataset {dataset_id} in {datasets_root()}; {hint}")

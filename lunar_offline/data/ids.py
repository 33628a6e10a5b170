"""Dataset ids and where they lie: (namespace/)name-vN under Minari's root."""

import os
import re
from contextlib import suppress
from pathlib import Path

from lunar_offline.errors import RefusedError, UsageError

# Beside the datasets, for journals, caches and transfers.
FOLDER = ".lunar-offline"

_ID = re.compile(r"(?P<name>(?:[-_A-Za-z0-9]+/)*[-_A-Za-z0-9]+)-v(?P<version>0|[1-9][0-9]{0,8})")
MAX_PART = 200  # a file system takes 255, and a version number is yet to come
MAX_ID = 1000
MAX_PATH = 3000  # a file system takes 4095


def datasets_root() -> Path:
    """Return Minari's root for local datasets, absolute: $MINARI_DATASETS_PATH or ~/.minari."""
    configured = os.environ.get("MINARI_DATASETS_PATH")
    return Path(configured).absolute() if configured else Path.home() / ".minari" / "datasets"


def parse_id(dataset_id: str) -> tuple[str, int]:
    """Split an id into its name, namespace included, and its version.

    Raises:
        UsageError: the id has no version, characters that Minari does not take, or is too long.
    """
    if len(dataset_id) > MAX_ID or any(len(part) > MAX_PART for part in dataset_id.split("/")):
        raise UsageError(f"dataset id {dataset_id[:40]!r}... is too long")
    match = _ID.fullmatch(dataset_id)
    if match and all(len(part) >= 2 for part in match["name"].split("/")[:-1]):
        return match["name"], int(match["version"])
    if not match and re.fullmatch(r"(?:[-_A-Za-z0-9]+/)*[-_A-Za-z0-9]+", dataset_id):
        raise UsageError(f"dataset id {dataset_id!r} has no version; did you mean {dataset_id}-v0?")
    raise UsageError(f"{dataset_id!r} is no dataset id; one looks like lunar-sac-v0 or box2d/x-v1")


def dataset_path(dataset_id: str) -> Path:
    """Return the folder of a dataset, whether it is there or not. Raises as `parse_id`."""
    parse_id(dataset_id)
    return datasets_root() / dataset_id


def local_versions(name: str) -> list[int]:
    """Return the versions of a dataset name that are there, ascending."""
    parent = (datasets_root() / name).parent
    stem = name.rsplit("/", 1)[-1]
    found = [
        re.fullmatch(re.escape(stem) + r"-v([0-9]+)", p.name) for p in parent.glob(f"{stem}-v*")
    ]
    return sorted(int(match[1]) for match in found if match)


def local_ids() -> list[str]:
    """Return what stands as a dataset below the root, sorted; not every one is a whole one.

    A stranger's folders may be of any depth and name: only those without metadata are entered.
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
    """Raise RefusedError when the id is taken, naming the next free version."""
    if os.path.lexists(dataset_path(dataset_id)):
        name, _ = parse_id(dataset_id)
        free = f"{name}-v{max([*local_versions(name), -1]) + 1}"
        raise RefusedError(
            f"dataset {dataset_id} exists and never changes; the next free version is {free}"
        )


def check_there(dataset_id: str) -> Path:
    """Return the folder of a dataset.

    Raises:
        UsageError: there is none, with what is there or how to make it.
        RefusedError: a symbolic link or a file stands in its place.
    """
    path = dataset_path(dataset_id)
    if path.is_dir():
        data = path / "data"
        if data.resolve() != datasets_root().resolve() / dataset_id / "data":
            raise RefusedError(f"{path}: leads elsewhere by a symbolic link")
        return path
    if os.path.lexists(path):
        raise RefusedError(f"{path}: not a folder")
    name, _ = parse_id(dataset_id)
    versions = local_versions(name)
    hint = (
        "there is " + ", ".join(f"{name}-v{version}" for version in versions)
        if versions
        else f"make it with: lunar-offline collect --dataset {dataset_id}"
    )
    raise UsageError(f"no dataset {dataset_id} in {datasets_root()}; {hint}")

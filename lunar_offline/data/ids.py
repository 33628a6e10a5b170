"""Dataset ids and where they lie: (namespace/)name-vN under Minari's root."""

import os
import re
from pathlib import Path

from lunar_offline.errors import RefusedError, UsageError

# Beside the datasets, for journals, caches and transfers.
FOLDER = ".lunar-offline"

_ID = re.compile(r"(?P<name>(?:[-_A-Za-z0-9]+/)*[-_A-Za-z0-9]+)-v(?P<version>0|[1-9]\d{0,8})")


def datasets_root() -> Path:
    """Return Minari's root for local datasets, absolute: $MINARI_DATASETS_PATH or ~/.minari."""
    configured = os.environ.get("MINARI_DATASETS_PATH")
    return Path(configured).absolute() if configured else Path.home() / ".minari" / "datasets"


def parse_id(dataset_id: str) -> tuple[str, int]:
    """Split an id into its name, namespace included, and its version.

    Raises:
        UsageError: the id has no version, or characters that Minari does not take.
    """
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
    found = [re.fullmatch(re.escape(stem) + r"-v(\d+)", p.name) for p in parent.glob(f"{stem}-v*")]
    return sorted(int(match[1]) for match in found if match)


def check_free(dataset_id: str) -> None:
    """Raise RefusedError when the id is taken, naming the next free version."""
    if dataset_path(dataset_id).exists():
        name, _ = parse_id(dataset_id)
        free = f"{name}-v{local_versions(name)[-1] + 1}"
        raise RefusedError(
            f"dataset {dataset_id} exists and never changes; the next free version is {free}"
        )


def check_there(dataset_id: str) -> Path:
    """Return the folder of a dataset.

    Raises:
        UsageError: there is none, with what is there or how to make it.
        RefusedError: a symbolic link stands in its place.
    """
    path = dataset_path(dataset_id)
    if path.is_dir():
        if path.resolve() != datasets_root().resolve() / dataset_id:
            raise RefusedError(f"{path}: leads elsewhere by a symbolic link")
        return path
    name, _ = parse_id(dataset_id)
    versions = local_versions(name)
    hint = (
        "there is " + ", ".join(f"{name}-v{version}" for version in versions)
        if versions
        else f"make it with: lunar-offline collect --dataset {dataset_id}"
    )
    raise UsageError(f"no dataset {dataset_id} in {datasets_root()}; {hint}")

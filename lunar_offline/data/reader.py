"""A Minari dataset -> Transitions. Never builds an env and never runs what a dataset names."""

import errno
import hashlib
import os
import shutil
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from lunar_offline.data import flat, sandbox
from lunar_offline.data.flat import Flat
from lunar_offline.data.ids import FOLDER, check_there, datasets_root
from lunar_offline.data.manifest import check_files, file_sha256, read_manifest
from lunar_offline.data.metadata import Metadata, read_metadata, space_as_json
from lunar_offline.data.strict import Request
from lunar_offline.envs import EnvInfo
from lunar_offline.errors import RefusedError
from lunar_offline.files import files_below, one_line, sync_directory
from lunar_offline.transitions import Episode, Transitions

HDF5 = "main_data.hdf5"
METADATA = "metadata.json"
STALE_SECONDS = 3600
MIN_EPISODE_BYTES = 256  # headers alone
UNWRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS)


@dataclass(frozen=True, eq=False)
class OfflineDataset:
    """A dataset, mapped into memory.

    Attributes:
        dataset_id: its Minari id.
        env: the env that it was recorded in.
        flat: its rows, episode by episode in the order of their index.
        metadata: its parsed metadata.json.
        sha256: of its data: of main_data.hdf5, or of the list of Arrow files.
        cache: the flat file; gone where the datasets' folder cannot be written to.
    """

    dataset_id: str
    env: EnvInfo
    flat: Flat
    metadata: dict[str, Any]
    sha256: str
    cache: Path

    @property
    def transitions(self) -> Transitions:
        """All rows."""
        return Transitions(self.flat.records)

    @property
    def seeds(self) -> list[int | None]:
        """Env seed of each episode, None where the dataset has none."""
        return [None if seed == flat.NO_SEED else int(seed) for seed in self.flat.seeds]

    def episodes(self) -> list[Episode]:
        """Return a copy of every episode."""
        rows, start, episodes = self.transitions, 0, []
        for end, seed in zip(self.flat.ends, self.seeds, strict=True):
            last = rows.next_observations[end - 1 : end]
            episodes.append(
                Episode(
                    np.concatenate([rows.observations[start:end], last]),
                    rows.actions[start:end].copy(),
                    self.flat.rewards[start:end].copy(),
                    rows.terminations[start:end].copy(),
                    rows.truncations[start:end].copy(),
                    seed,
                )
            )
            start = end
        return episodes

    def episode_returns(self) -> NDArray[np.float64]:
        """Return the undiscounted return of each episode: [episodes]."""
        return np.add.reduceat(self.flat.rewards, np.concatenate([[0], self.flat.ends[:-1]]))


def read_dataset(
    dataset_id: str, env: EnvInfo | None = None, *, trusted: bool = False
) -> OfflineDataset:
    """Read a local Minari dataset, of the lander or of an env that the user names.

    The first read converts it, in a process of its own, to a flat file that later ones map.

    Args:
        dataset_id: a local dataset.
        env: the env that it must be of; None takes the lander's two.
        trusted: take the manifest's word for the data's hash and the flat file's own for its
            content, instead of hashing both; opening then costs the same at any size.

    Raises:
        UsageError: the id is malformed, or no such dataset is there.
        RefusedError: its env, spaces, shapes, dtypes, values or episode ends are not what they must
            be, or its manifest gives another sha256.
    """
    folder = check_there(dataset_id)
    data = folder / "data"
    metadata = read_metadata(dataset_id, env)
    manifest = read_manifest(folder)
    told: str = manifest["files"].get(f"data/{HDF5}", {}).get("sha256", "") if manifest else ""
    if manifest and not (trusted and told):
        check_files(folder, manifest, "data/")
    sha256 = told or _sha256(data, metadata.format)
    key, request = _request(data, metadata, sha256)
    path = datasets_root() / FOLDER / "cache" / f"{key}.flat"
    try:
        mapped = flat.open_flat(path, key, request.dtype, check=not trusted)
    except (OSError, ValueError, RefusedError):
        mapped = _convert(request, path, sha256)
    return OfflineDataset(dataset_id, metadata.env, mapped, metadata.values, sha256, path)


def _sha256(data: Path, kind: str) -> str:
    """Return the hash of a dataset's data."""
    try:
        if kind == "hdf5":
            return file_sha256(data / HDF5)
        listing = [
            f"{path.relative_to(data).as_posix()} {file_sha256(path)}"
            for path in _data_files(data, kind)
        ]
        return hashlib.sha256(os.fsencode("\n".join(listing))).hexdigest()
    except OSError as error:
        raise RefusedError(f"{error.filename}: {error.strerror}") from None


def _data_files(data: Path, kind: str) -> list[Path]:
    if kind == "hdf5":
        return [data / HDF5]
    return [path for path in files_below(data) if path != data / METADATA]


def _request(data: Path, metadata: Metadata, sha256: str) -> tuple[str, Request]:
    """Say what is to be read and the key of what comes of it."""
    env, action = metadata.env, metadata.env.action_space
    of = [str(flat.FORMAT), sha256, str(env.observation_size), space_as_json(action)]
    key = hashlib.sha256("\n".join(of).encode()).hexdigest()
    hdf5 = metadata.format == "hdf5"
    size = sum(path.lstat().st_size for path in _data_files(data, metadata.format))
    if metadata.steps > size or metadata.episodes * MIN_EPISODE_BYTES > size:
        raise RefusedError(
            f"{data}: {size:,} bytes cannot hold the {metadata.episodes:,} episodes and "
            f"{metadata.steps:,} steps that {METADATA} says"
        )
    box = isinstance(action, spaces.Box)
    request = Request(
        format=metadata.format,
        data=str(data / HDF5 if hdf5 else data),
        out="",
        key=key,
        episodes=metadata.episodes,
        steps=metadata.steps,
        observation_size=env.observation_size,
        actions=0 if box else env.action_size,
        low=[float(bound) for bound in action.low] if box else [],
        high=[float(bound) for bound in action.high] if box else [],
    )
    return key, sandbox.limited(request, size)


def _convert(request: Request, path: Path, sha256: str) -> Flat:
    """Make the flat file of a request and map it; where it cannot stay, it is removed again.

    It is named by the data's sha256, which is held against what was read: a file may have changed
    meanwhile, and the manifest of a trusted one may not be its own.
    """
    kept = True
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="making-", dir=path.parent))
    except OSError as error:
        if error.errno not in UNWRITABLE:
            raise
        folder, kept = Path(tempfile.mkdtemp(prefix="lunar-offline-")), False
    made = folder / path.name
    try:
        try:
            sandbox.convert(request._replace(out=str(made)))
        except RefusedError as error:
            raise RefusedError(f"{request.data}: {one_line(error)}") from None
        data = Path(request.data)
        if _sha256(data.parent if request.format == "hdf5" else data, request.format) != sha256:
            raise RefusedError(f"{data}: is not what its sha256 says, or changed while it was read")
        if kept:
            _put(made, path)
            sync_directory(path.parent)
        return flat.open_flat(path if kept else made, request.key, request.dtype, check=False)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if kept:
            _remove_stale(path.parent)


def _put(made: Path, path: Path) -> None:
    try:
        made.replace(path)
    except IsADirectoryError:
        raise RefusedError(f"{path}: a folder stands where the cache belongs; remove it") from None


def _remove_stale(cache: Path) -> None:
    """Drop what a process left that was killed while it made a flat file."""
    for folder in cache.glob("making-*"):
        with suppress(FileNotFoundError):  # another process is done with its own
            if time.time() - folder.stat().st_mtime > STALE_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)

"""Read Minari datasets as Transitions, without making an env or running code they name."""

import hashlib
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from lunar_offline.datasets import cache
from lunar_offline.datasets.cache import Flat
from lunar_offline.datasets.episode_statistics import EpisodeStatistics
from lunar_offline.datasets.folder import DatasetFolder, cache_file, open_folder
from lunar_offline.datasets.make_cache import make_cache
from lunar_offline.datasets.manifest import check_files, file_sha256
from lunar_offline.datasets.readers import sandbox
from lunar_offline.datasets.readers.request import Request
from lunar_offline.envs.env_info import EnvInfo
from lunar_offline.errors import RefusedError
from lunar_offline.storage.strict_json import JSONValue
from lunar_offline.storage.untrusted_files import files_below
from lunar_offline.transitions import Episode, Transitions

HDF5 = "main_data.hdf5"
METADATA = "metadata.json"
MIN_EPISODE_BYTES = 256  # the size of an episode's headers


@dataclass(frozen=True, eq=False)
class Dataset:
    """A dataset, mapped into memory.

    Example:
        >>> import lunar_offline as lo
        >>> data = lo.load_dataset("lunar-random-v0")
        >>> data.id, len(data), len(data.episodes())
        ('lunar-random-v0', 3, 3)

    Attributes:
        folder: its folder, metadata and manifest.
        flat: its rows, episode by episode in the order of their index.
        sha256: of main_data.hdf5, or of the list of Arrow files with their hashes.
        cache: path of the cache file; the file is temporary, and already removed, if the datasets'
            folder is not writable.
    """

    folder: DatasetFolder
    flat: Flat
    sha256: str
    cache: Path

    @property
    def id(self) -> str:
        """Its Minari id."""
        return self.folder.id

    @property
    def path(self) -> Path:
        """Its folder."""
        return self.folder.path

    @property
    def env(self) -> EnvInfo:
        """The env that it was recorded in."""
        return self.folder.env

    @property
    def metadata(self) -> Mapping[str, JSONValue]:
        """Its parsed metadata.json."""
        return self.folder.metadata.values

    @property
    def transitions(self) -> Transitions:
        """All transitions, in the order of the episodes."""
        return Transitions(self.flat.records)

    @property
    def seeds(self) -> list[int | None]:
        """The env seed of each episode; None for an episode without one."""
        return [None if seed == cache.NO_SEED else int(seed) for seed in self.flat.seeds]

    def __len__(self) -> int:
        """Return the number of episodes."""
        return len(self.flat.ends)

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
        # not reduceat, which sums in another order than `Episode.episode_return`
        rewards, starts = self.flat.rewards, np.concatenate([[0], self.flat.ends[:-1]])
        return np.array([rewards[a:b].sum() for a, b in zip(starts, self.flat.ends, strict=True)])

    def episode_lengths(self) -> NDArray[np.int64]:
        """Return the number of env steps of each episode: [episodes]."""
        return np.diff(self.flat.ends, prepend=0)

    def outcomes(self) -> list[str]:
        """Return the outcome of each episode: one of the env's `outcomes`."""
        last = self.flat.ends - 1
        rewards, terminations = self.flat.rewards[last], self.flat.records["terminations"][last]
        name = self.env.name_outcome
        return [name(float(r), bool(t)) for r, t in zip(rewards, terminations, strict=True)]

    def statistics(self) -> EpisodeStatistics:
        """Return the statistics of its episodes, without copying them."""
        return EpisodeStatistics.of_arrays(
            self.env,
            returns=self.episode_returns(),
            lengths=self.episode_lengths(),
            outcomes=self.outcomes(),
            actions=self.transitions.actions,
        )


def read_dataset(dataset_id: str, env: EnvInfo | None = None, *, trusted: bool = False) -> Dataset:
    """Read a local Minari dataset by its id; see `read_folder`.

    Args:
        dataset_id: a local dataset.
        env: the env that the user named; None accepts any registered env.
        trusted: see `read_folder`.

    Raises:
        UsageError: the id is malformed, or the dataset does not exist.
        RefusedError: see `open_folder` and `read_folder`.
    """
    return read_folder(open_folder(dataset_id, env), trusted=trusted)


def read_folder(folder: DatasetFolder, *, trusted: bool = False) -> Dataset:
    """Read a resolved dataset.

    The first read converts it to a cache file, in a separate process; later reads map that file
    into memory. Each read hashes the data once.

    Args:
        folder: see `open_folder`.
        trusted: skip hashing: take the data's hash from the manifest, and do not check that of the
            cache file. The time to open then does not depend on the size.

    Raises:
        RefusedError: shapes, dtypes, values or episode ends are invalid, or the sha256 differs from
            the manifest's.
    """
    data, metadata, manifest = folder.data, folder.metadata, folder.manifest
    recorded: str = manifest["files"].get(f"data/{HDF5}", {}).get("sha256", "") if manifest else ""
    before = _signature(data, metadata.format)
    unhashed = bool(manifest and trusted and recorded)
    if manifest and not unhashed:
        check_files(folder.path, manifest, data=True)
    sha256 = recorded or data_sha256(data, metadata.format, manifest)
    request = _request(folder, sha256)
    path = cache_file(request.key)
    try:
        mapped = cache.open_flat(path, request.key, request.dtype, check=not trusted)
    except (OSError, ValueError, RefusedError):

        def check_unchanged() -> None:
            hashed = data_sha256(data, metadata.format) if unhashed else sha256
            if hashed != sha256 or _signature(data, metadata.format) != before:
                raise RefusedError(
                    f"{request.data}: does not match its sha256, or changed while it was read"
                ) from None

        mapped = make_cache(request, path, check_unchanged)
    return Dataset(folder, mapped, sha256, path)


def _signature(data: Path, kind: str) -> list[tuple[str, int, int, int, int]]:
    """Return the inode, size and times of each data file, to detect changes."""
    found = []
    for path in _data_files(data, kind):
        with suppress(OSError):  # the hash of this file reports the error
            about = path.lstat()
            times = about.st_mtime_ns, about.st_ctime_ns
            found.append((path.name, about.st_ino, about.st_size, *times))
    return found


def data_sha256(data: Path, kind: str, manifest: Mapping[str, Any] | None = None) -> str:
    """Return the hash of a dataset's data; a checked manifest gives the hashes of its files."""
    try:
        if kind == "hdf5":
            return file_sha256(data / HDF5)
        listing = []
        for path in _data_files(data, kind):
            name = path.relative_to(data).as_posix()
            known = manifest["files"][f"data/{name}"]["sha256"] if manifest else None
            listing.append(f"{name} {known or file_sha256(path)}")
        return hashlib.sha256(os.fsencode("\n".join(listing))).hexdigest()
    except OSError as error:
        raise RefusedError(f"{error.filename}: {error.strerror}") from None


def _data_files(data: Path, kind: str) -> list[Path]:
    if kind == "hdf5":
        return [data / HDF5]
    return [path for path in files_below(data) if path != data / METADATA]


def _request(folder: DatasetFolder, sha256: str) -> Request:
    """Return the request for the conversion, with the key of the cache file."""
    data, metadata, env = folder.data, folder.metadata, folder.env
    action, key = env.action_space, folder.cache_key(sha256)
    hdf5 = metadata.format == "hdf5"
    sizes = [path.lstat().st_size for path in _data_files(data, metadata.format)]
    size = sum(sizes)
    if metadata.steps > size or metadata.episodes * MIN_EPISODE_BYTES > size:
        raise RefusedError(
            f"{data}: {size:,} bytes cannot hold the {metadata.episodes:,} episodes and "
            f"{metadata.steps:,} steps that {METADATA} states"
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
    return sandbox.limited(request, sizes)

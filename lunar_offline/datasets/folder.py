"""A dataset on disk, resolved once into a value that is passed on."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lunar_offline.datasets.cache import FORMAT
from lunar_offline.datasets.ids import existing_folder
from lunar_offline.datasets.manifest import MANIFEST, read_manifest
from lunar_offline.datasets.metadata import Metadata, read_metadata, space_as_json
from lunar_offline.envs.env_info import EnvInfo
from lunar_offline.errors import RefusedError
from lunar_offline.storage.datasets_root import FOLDER, datasets_root


@dataclass(frozen=True)
class DatasetFolder:
    """A local dataset whose metadata and manifest are checked; its data are not read yet.

    Attributes:
        id: its Minari id.
        path: its folder.
        metadata: the checked metadata.json.
        manifest: the checked manifest.json; None for a dataset without one, as other tools write.
    """

    id: str
    path: Path
    metadata: Metadata
    manifest: dict[str, Any] | None

    @property
    def env(self) -> EnvInfo:
        """The env that it was recorded in."""
        return self.metadata.env

    @property
    def data(self) -> Path:
        """The folder that holds the data files."""
        return self.path / "data"

    def cache_key(self, sha256: str) -> str:
        """Return the hash of all that the content of its cache file depends on.

        Args:
            sha256: of the data.
        """
        space = space_as_json(self.env.action_space)
        parts = [str(FORMAT), sha256, str(self.env.observation_size), space]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def required_manifest(self, purpose: str) -> dict[str, Any]:
        """Return the manifest.

        Args:
            purpose: what needs the manifest, for the error message.

        Raises:
            RefusedError: the dataset has no manifest.
        """
        if self.manifest is None:
            raise RefusedError(f"{self.path}: has no {MANIFEST} {purpose}")
        return self.manifest


def cache_file(key: str) -> Path:
    """Return the path of the cache file with this key, which need not exist."""
    return datasets_root() / FOLDER / "cache" / f"{key}.flat"


def open_folder(dataset_id: str, env: EnvInfo | None = None) -> DatasetFolder:
    """Resolve a dataset id.

    Args:
        dataset_id: a local dataset.
        env: the env that the user named; None accepts any registered env.

    Raises:
        UsageError: the id is malformed, or the dataset does not exist.
        RefusedError: the metadata do not match the id and env, or the manifest is damaged.
    """
    path = existing_folder(dataset_id)
    metadata = read_metadata(path, dataset_id, env)
    return DatasetFolder(dataset_id, path, metadata, read_manifest(path))

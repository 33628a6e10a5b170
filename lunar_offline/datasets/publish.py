"""Publish episodes as a Minari dataset, which is either complete or absent."""

import os
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import metadata
from pathlib import Path
from typing import Any

from lunar_offline.datasets.episode_file import EpisodeFile
from lunar_offline.datasets.ids import check_free
from lunar_offline.datasets.manifest import CARD, file_sha256, write_manifest
from lunar_offline.envs.env_info import EnvInfo, ReferenceScores
from lunar_offline.storage.atomic_write import sync_directory, sync_tree, write_atomic
from lunar_offline.storage.datasets_root import FOLDER, datasets_root
from lunar_offline.storage.package_data import shipped_recipes

METADATA_KEY = "lunar_offline"


@dataclass(frozen=True)
class DatasetInfo:
    """The description of a dataset, for metadata.json, the manifest and the card.

    Attributes:
        algorithm_name: algorithm of the behavior policy.
        description: one paragraph of Markdown.
        requirements: pip-style pins of the packages that recorded it.
        reference_scores: mean returns of the random and the expert policy; None if unknown.
        recipe: the recipe that reproduces the data; plain JSON values.
        provenance: versions, commit, machine; plain JSON values.
        statistics: of returns, lengths, outcomes and actions; plain JSON values.
        card: Markdown that a hub shows.
    """

    algorithm_name: str
    description: str
    requirements: list[str]
    reference_scores: ReferenceScores | None
    recipe: Mapping[str, Any]
    provenance: Mapping[str, Any]
    statistics: Mapping[str, Any]
    card: str


def publish(
    dataset_id: str,
    recorded: EpisodeFile,
    env: EnvInfo,
    info: DatasetInfo,
    check: Callable[[str], object] | None = None,
) -> Path:
    """Write a dataset in Minari's layout, and publish it under its id with one rename.

    Args:
        dataset_id: a free id.
        recorded: at least one episode; afterwards none can be added.
        env: the env of the episodes; its spec is stored with its keyword arguments.
        info: see DatasetInfo.
        check: is called with the sha256 of main_data.hdf5 before the dataset is published, and may
            raise an error to prevent that; None calls nothing.

    Returns:
        The dataset's folder.

    Raises:
        RefusedError: the id is taken.
        UsageError: the id is malformed.
    """
    check_free(dataset_id)
    root = datasets_root()
    staging = root / FOLDER / dataset_id / "staging"
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    try:
        with minari_root(staging):
            _write(dataset_id, recorded, env, info)
        made = staging / dataset_id
        if check is not None:
            check(file_sha256(made / "data" / "main_data.hdf5"))
        write_atomic(made / CARD, info.card.encode())
        about = {
            "dataset_id": dataset_id,
            "recipe": dict(info.recipe),
            "provenance": dict(info.provenance),
            "statistics": dict(info.statistics),
        }
        write_manifest(made, about)
        return settle(made, dataset_id)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def settle(made: Path, dataset_id: str) -> Path:
    """Fsync a finished dataset, and publish it under its id with one rename.

    Args:
        made: its folder, on the same file system as the root of the datasets.
        dataset_id: a free id.

    Returns:
        The dataset's folder.

    Raises:
        RefusedError: the id is taken.
    """
    sync_tree(made)
    target = datasets_root() / dataset_id
    _ensure_namespaces(dataset_id)
    check_free(dataset_id)
    made.rename(target)
    sync_directory(target.parent)
    return target


@contextmanager
def minari_root(path: Path) -> Iterator[None]:
    """Point Minari at another root folder, which its API reads only from the environment."""
    before = os.environ.get("MINARI_DATASETS_PATH")
    os.environ["MINARI_DATASETS_PATH"] = str(path)
    try:
        yield
    finally:
        if before is None:
            del os.environ["MINARI_DATASETS_PATH"]
        else:
            os.environ["MINARI_DATASETS_PATH"] = before


def _ensure_namespaces(dataset_id: str) -> None:
    from minari.namespace import create_namespace, list_local_namespaces

    namespace = dataset_id.rpartition("/")[0]
    with minari_root(datasets_root()):
        if namespace and namespace not in list_local_namespaces():
            create_namespace(namespace)


def code_permalink() -> str:
    """Return the link to the source code in the package metadata, empty if there is none."""
    for url in metadata("lunar-offline").get_all("Project-URL") or []:
        label, _, link = url.partition(", ")
        if label == "Source":
            return link
    return ""


def _write(dataset_id: str, recorded: EpisodeFile, env: EnvInfo, info: DatasetInfo) -> None:
    import minari

    scores = info.reference_scores
    with warnings.catch_warnings():
        # Minari warns about each missing standard key, here the author's e-mail address
        warnings.simplefilter("ignore", UserWarning)
        dataset = minari.create_dataset_from_buffers(
            dataset_id,
            [],
            env=env.spec(),
            eval_env=env.spec(),  # a string would drop the kwargs
            algorithm_name=info.algorithm_name,
            # nobody is named as the author of a user's own data
            author=metadata("lunar-offline")["Author"] if dataset_id in shipped_recipes() else None,
            code_permalink=code_permalink(),
            ref_min_score=scores.random if scores else None,
            ref_max_score=scores.expert if scores else None,
            description=info.description,
            requirements=info.requirements,
            data_format="hdf5",
        )
    storage = dataset.storage
    write_atomic(storage.data_path / "main_data.hdf5", recorded.content())
    storage.update_metadata(
        {
            "total_episodes": len(recorded.episodes),
            "total_steps": sum(len(episode) for episode in recorded.episodes),
            "dataset_size": storage.get_size(),
            METADATA_KEY: {"recipe": dict(info.recipe), "provenance": dict(info.provenance)},
        }
    )

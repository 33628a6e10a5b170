"""A dataset is resolved once and hashed once, however much is done with it."""

import json
import shutil
from collections import Counter
from pathlib import Path

import pytest
from foreign_data import record, write_dataset

from lunar_offline.datasets import dataset as reader
from lunar_offline.datasets import manifest as manifest_module
from lunar_offline.datasets import metadata as metadata_module
from lunar_offline.datasets.dataset import read_folder
from lunar_offline.datasets.folder import DatasetFolder, open_folder
from lunar_offline.datasets.listing import show_dataset
from lunar_offline.datasets.page.page import write_page
from lunar_offline.datasets.verify import verify_dataset
from lunar_offline.envs.registry import find_env, named_env
from lunar_offline.errors import RefusedError, UsageError
from lunar_offline.storage.datasets_root import FOLDER, datasets_root


@pytest.fixture
def read_files(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Counts the reads of metadata.json and manifest.json, by name."""
    counts: Counter[str] = Counter()
    for module in (metadata_module, manifest_module):
        read = module.read_regular

        def counting(path: Path, *arguments: int, read=read) -> bytes:
            counts[path.name] += 1
            return read(path, *arguments)

        monkeypatch.setattr(module, "read_regular", counting)
    return counts


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Counts the files that are hashed, by their name below the dataset's folder."""
    counts: Counter[str] = Counter()
    hash_file = manifest_module.file_sha256

    def counting(path: Path) -> str:
        counts[path.name] += 1
        return hash_file(path)

    for module in (manifest_module, reader):
        monkeypatch.setattr(module, "file_sha256", counting)
    return counts


def test_a_folder_holds_what_was_resolved(random_dataset: str) -> None:
    folder = open_folder(random_dataset)
    assert (folder.id, folder.path) == (random_dataset, datasets_root() / random_dataset)
    assert folder.data == folder.path / "data"
    assert folder.env is find_env(discrete=True)
    assert folder.metadata.episodes == 12
    assert folder.manifest == json.loads((folder.path / "manifest.json").read_text())
    assert folder.required_manifest("for anything") is folder.manifest


def test_metadata_and_manifest_are_read_once(random_dataset: str, read_files: Counter[str]) -> None:
    folder = open_folder(random_dataset)
    assert read_files == {"metadata.json": 1, "manifest.json": 1}
    read_folder(folder)
    read_folder(folder, trusted=True)
    assert read_files == {"metadata.json": 1, "manifest.json": 1}


def test_nothing_downstream_looks_the_id_up_again(
    random_dataset: str,
    read_files: Counter[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    folder = open_folder(random_dataset)
    read_folder(folder)
    # where the root leads elsewhere, an id is not found any more
    monkeypatch.setattr(reader, "open_folder", lambda *_: pytest.fail("looked up again"))
    shutil.rmtree(datasets_root() / FOLDER)
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "elsewhere"))
    with pytest.raises(UsageError, match="no dataset"):
        open_folder(random_dataset)
    assert len(read_folder(folder)) == 12
    assert show_dataset(folder)["episodes"] == 12
    assert verify_dataset(folder, replay=1).replayed == 1
    assert write_page(folder, tmp_path / "page.html") > 0
    assert read_files == {"metadata.json": 1, "manifest.json": 1}


@pytest.mark.parametrize("with_manifest", [True, False])
def test_a_read_hashes_the_data_once(
    random_dataset: str, hashed: Counter[str], with_manifest: bool
) -> None:
    if not with_manifest:
        (datasets_root() / random_dataset / "manifest.json").unlink()
    shutil.rmtree(datasets_root() / FOLDER, ignore_errors=True)
    hashed.clear()
    folder = open_folder(random_dataset)
    assert not hashed
    first = read_folder(folder)
    assert first.cache.is_file()
    assert hashed["main_data.hdf5"] == 1
    again = read_folder(folder)  # from the cache
    assert hashed["main_data.hdf5"] == 2
    assert (
        again.sha256 == first.sha256 == manifest_module.file_sha256(folder.data / "main_data.hdf5")
    )


def test_a_trusted_read_hashes_the_data_once_at_most(
    random_dataset: str, hashed: Counter[str]
) -> None:
    shutil.rmtree(datasets_root() / FOLDER, ignore_errors=True)
    hashed.clear()
    folder = open_folder(random_dataset)
    read_folder(folder, trusted=True)  # converts, so the manifest's word is checked
    assert hashed == {"main_data.hdf5": 1}
    read_folder(folder, trusted=True)
    assert hashed == {"main_data.hdf5": 1}


def test_data_without_a_manifest_have_none(good_datasets: dict[str, Path]) -> None:
    shutil.copytree(good_datasets["arrow"], datasets_root() / "bad-v0")
    folder = open_folder("bad-v0")
    assert folder.manifest is None
    assert folder.metadata.format == "arrow"
    with pytest.raises(RefusedError, match=r"bad-v0: has no manifest\.json to sign it by"):
        folder.required_manifest("to sign it by")


def test_the_env_that_the_user_names_is_the_folders() -> None:
    write_dataset("car-x-v0", "MountainCar-v0", record("MountainCar-v0", 2, 15))
    env = named_env("MountainCar-v0")
    folder = open_folder("car-x-v0", env)
    assert isinstance(folder, DatasetFolder)
    assert folder.env is env
    assert read_folder(folder).env is env
    with pytest.raises(RefusedError, match="name it once to use it: --env MountainCar-v0"):
        open_folder("car-x-v0")

"""Verification finds what was changed, and says what."""

import json

import h5py
import pytest

from lunar_offline.collection.collect import collect_dataset
from lunar_offline.datasets.folder import open_folder
from lunar_offline.datasets.manifest import file_sha256
from lunar_offline.datasets.verify import Verified, verify_dataset
from lunar_offline.errors import RefusedError, UsageError
from lunar_offline.storage.datasets_root import datasets_root


@pytest.mark.parametrize("discrete", [True, False])
def test_a_dataset_verifies_and_replays(*, discrete: bool) -> None:
    collect_dataset("x-v0", policy="random", discrete=discrete, episodes=4)
    assert verify_dataset(open_folder("x-v0"), replay=None) == Verified("x-v0", 3, 4)
    assert verify_dataset(open_folder("x-v0"), replay=2).replayed == 2
    with pytest.raises(UsageError, match="--replay 5"):
        verify_dataset(open_folder("x-v0"), replay=5)


def test_a_changed_file_is_named(random_dataset: str) -> None:
    folder = datasets_root() / random_dataset
    card = folder / "README.md"
    before = card.read_bytes()
    card.write_bytes(before + b"x")
    with pytest.raises(RefusedError, match=r"README\.md does not match its sha256"):
        verify_dataset(open_folder(random_dataset))
    card.unlink()
    with pytest.raises(RefusedError, match=r"README\.md is missing"):
        verify_dataset(open_folder(random_dataset))
    card.write_bytes(before)
    (folder / "more.txt").write_text("x")
    with pytest.raises(RefusedError, match=r"more\.txt is not in its manifest"):
        verify_dataset(open_folder(random_dataset))


@pytest.mark.parametrize(
    ("field", "step", "reason"),
    [
        ("observations", 3, "episode 7 differs in its observation 3"),
        ("rewards", 5, "episode 7 differs in its reward 5"),
    ],
)
def test_a_plausible_forgery_does_not_replay(
    random_dataset: str, field: str, step: int, reason: str
) -> None:
    """One value changed by its last bits, and the manifest made to match."""
    folder = datasets_root() / random_dataset
    data = folder / "data" / "main_data.hdf5"
    with h5py.File(data, "r+") as file:
        values = file[f"episode_7/{field}"]
        assert isinstance(values, h5py.Dataset)
        values[step] = values[step] * 1.00001
    manifest = json.loads((folder / "manifest.json").read_text())
    with pytest.raises(RefusedError, match="does not match its sha256"):
        verify_dataset(open_folder(random_dataset), replay=None)
    manifest["files"]["data/main_data.hdf5"]["sha256"] = file_sha256(data)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(RefusedError, match=reason):
        verify_dataset(open_folder(random_dataset), replay=None)


@pytest.mark.parametrize("content", ["{", "[]", '{"files": {"x": 1}}', '{"files": []}'])
def test_what_is_no_manifest_is_refused(random_dataset: str, content: str) -> None:
    (datasets_root() / random_dataset / "manifest.json").write_text(content)
    with pytest.raises(RefusedError, match=r"manifest\.json"):
        verify_dataset(open_folder(random_dataset))


def test_without_a_manifest_there_is_nothing_to_verify_by(random_dataset: str) -> None:
    (datasets_root() / random_dataset / "manifest.json").unlink()
    with pytest.raises(RefusedError, match=r"has no manifest\.json to verify it by"):
        verify_dataset(open_folder(random_dataset))

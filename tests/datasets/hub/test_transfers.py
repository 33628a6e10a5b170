"""Real transfers over loopback: what arrives has the same sha256, and what is there stays."""

import os
from pathlib import Path

import pytest
from loopback import TOKEN, Hub
from sharing import DATA, FILES, ID, INFO, Place, digests, minari

from lunar_offline.datasets.dataset import read_dataset
from lunar_offline.datasets.episode_file import EpisodeFile
from lunar_offline.datasets.hub.fetch import PREFIX, fetch_dataset
from lunar_offline.datasets.hub.share import pack, share_dataset
from lunar_offline.datasets.manifest import check_files, read_manifest
from lunar_offline.datasets.publish import publish
from lunar_offline.envs.registry import find_env
from lunar_offline.errors import RefusedError, RemoteError
from lunar_offline.storage.datasets_root import datasets_root


def test_what_was_shared_is_fetched_byte_for_byte(place: Place, dataset: str, elsewhere) -> None:
    before = digests(datasets_root() / dataset)
    place.put(f"{ID}1/evil.py", b"boo")  # a neighbor is not part of it
    shared = share_dataset(dataset, remote=place.url)
    assert set(shared.sent) == FILES
    assert {name: file["sha256"] for name, file in shared.files.items()} == before
    assert share_dataset(dataset, remote=place.url).sent == []

    root = elsewhere()
    fetched = fetch_dataset(dataset, remote=place.url)
    assert (fetched.manifest, fetched.existed) == (True, False)
    assert digests(root / dataset) == before
    assert fetched.sha256 == before[DATA] == read_dataset(dataset).sha256
    assert fetch_dataset(dataset, remote=place.url).existed
    assert not list((root / ".lunar-offline").glob(f"{PREFIX}*"))


def test_plain_minari_downloads_what_was_shared(place: Place, dataset: str, elsewhere) -> None:
    before = digests(datasets_root() / dataset)
    new_id = "a1/b2/other-v3"
    shared = share_dataset(dataset, remote=place.url, remote_id=new_id)
    assert share_dataset(dataset, remote=place.url, remote_id=new_id).sent == []
    assert digests(datasets_root() / dataset) == before
    root = elsewhere()
    got = minari("download", new_id, place=place)
    assert got.returncode == 0, got.stderr
    theirs = digests(root / new_id)
    assert {name: file["sha256"] for name, file in shared.files.items()} == theirs
    assert theirs[DATA] == before[DATA]
    assert fetch_dataset(new_id, remote=place.url).existed


def test_what_plain_minari_uploads_is_fetched(
    place: Place, dataset: str, elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = digests(datasets_root() / dataset)
    key = TOKEN if place.url == "hf://me" else os.environ["GOOGLE_APPLICATION_CREDENTIALS"]
    sent = minari("upload", dataset, "--key-path", key, place=place)
    assert sent.returncode == 0, sent.stderr
    assert share_dataset(dataset, remote=place.url).sent == []
    root = elsewhere()
    for variable in ("HF_TOKEN", "GOOGLE_APPLICATION_CREDENTIALS"):
        monkeypatch.delenv(variable, raising=False)  # what is public needs no token
    fetch_dataset(dataset, remote=place.url)
    assert digests(root / dataset) == before


def test_a_dataset_without_a_manifest_is_fetched(place: Place, dataset: str, elsewhere) -> None:
    for name in ("metadata.json", "main_data.hdf5"):
        place.put(f"{ID}/data/{name}", (datasets_root() / ID / "data" / name).read_bytes())
    elsewhere()
    fetched = fetch_dataset(dataset, remote=place.url)
    assert not fetched.manifest
    assert set(fetched.files) == {DATA, "data/metadata.json"}


def test_another_id_is_written_everywhere(hub: Hub, dataset: str, elsewhere) -> None:
    new_id = "box2d/lunar-random-v1"
    share_dataset(dataset, remote="hf://me", remote_id=new_id)
    folder = elsewhere() / new_id
    fetch_dataset(new_id, remote="hf://me")
    manifest = read_manifest(folder) or {}
    check_files(folder, manifest, data=True)
    check_files(folder, manifest, data=False)
    assert manifest["dataset_id"] == read_dataset(new_id).metadata["dataset_id"] == new_id
    card = (folder / "README.md").read_text()
    assert card == f"# {new_id}\n\nNot box2d/lunar-random-v01.\n"


@pytest.mark.parametrize("lost", [[DATA], ["manifest.json", "data/metadata.json"], []])
def test_half_an_upload_is_reported_and_completed(
    place: Place, dataset: str, elsewhere, lost: list[str]
) -> None:
    share_dataset(dataset, remote=place.url)
    for name in lost:
        place.delete(f"{ID}/{name}")
    place.delete("box2d/namespace_metadata.json")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINARI_DATASETS_PATH", "elsewhere")
        if lost:
            with pytest.raises(RemoteError, match="is missing, as after an incomplete upload"):
                fetch_dataset(dataset, remote=place.url)
            assert not Path("elsewhere").exists()
    again = share_dataset(dataset, remote=place.url)
    assert (again.sent, again.announced) == (sorted(lost), True)
    elsewhere()
    assert set(fetch_dataset(dataset, remote=place.url).files) == FILES
    assert not share_dataset(dataset, remote=place.url).announced


def test_what_is_published_there_never_changes(
    place: Place, dataset: str, random_episodes, elsewhere
) -> None:
    share_dataset(dataset, remote=place.url)
    elsewhere()
    publish(ID, EpisodeFile(random_episodes[True][1:4]), find_env(discrete=True), INFO)
    mine = digests(datasets_root() / ID)
    with pytest.raises(
        RefusedError, match=r"already has a different box2d/lunar-random-v0 \(.* differs\)"
    ):
        share_dataset(dataset, remote=place.url)
    with pytest.raises(RefusedError, match="differs from the dataset on"):
        fetch_dataset(dataset, remote=place.url)
    assert digests(datasets_root() / ID) == mine


def test_a_local_file_more_or_less_is_another_content(
    place: Place, dataset: str, elsewhere
) -> None:
    share_dataset(dataset, remote=place.url)
    (datasets_root() / ID / "README.md").unlink()
    with pytest.raises(RefusedError, match=r"\(README.md differs\)"):
        fetch_dataset(dataset, remote=place.url)
    place.delete(f"{ID}/README.md")
    place.delete(f"{ID}/manifest.json")
    with pytest.raises(RefusedError, match=r"\(manifest.json differs\)"):
        fetch_dataset(dataset, remote=place.url)


def test_hugging_face_needs_a_namespace(hub: Hub, random_episodes) -> None:
    publish(
        "lunar-random-v0", EpisodeFile(random_episodes[True][:2]), find_env(discrete=True), INFO
    )
    use = "lunar-offline share lunar-random-v0 --remote hf://me --as box2d/lunar-random-v0"
    with pytest.raises(RefusedError, match=use):
        share_dataset("lunar-random-v0", remote="hf://me")
    assert hub.requests == []
    shared = share_dataset("lunar-random-v0", remote="hf://me", remote_id=ID)
    assert shared.remote_id == ID


def test_what_minari_leaves_without_a_namespace_is_fetched(hub: Hub, dataset: str) -> None:
    files = pack(dataset, "lunar-random-v0")
    hub.repos["me/lunar-random-v0"] = {".gitattributes": b""} | {
        name: file.content if isinstance(file.content, bytes) else file.content.read_bytes()
        for name, file in files.items()
    }
    assert fetch_dataset("lunar-random-v0", remote="hf://me").manifest


def test_a_dry_run_asks_nobody_and_takes_nothing(
    hub: Hub, dataset: str, monkeypatch: pytest.MonkeyPatch, elsewhere
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    shared = share_dataset(dataset, remote="hf://me", dry_run=True)
    assert {name: f["sha256"] for name, f in shared.files.items()} == digests(
        datasets_root() / dataset
    )
    assert hub.requests == []
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    share_dataset(dataset, remote="hf://me")
    root = elsewhere()
    assert set(fetch_dataset(dataset, remote="hf://me", dry_run=True).files) == FILES
    assert not root.exists()

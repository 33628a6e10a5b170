"""What is damaged or meant to harm is neither sent nor taken."""

import json

import pytest
from gcp_storage_emulator.storage import Storage
from loopback import Hub
from sharing import DATA, FILES, ID, Place, files_at, flip

from lunar_offline.datasets.hub.fetch import fetch_dataset
from lunar_offline.datasets.hub.hugging_face import Hub as HubRemote
from lunar_offline.datasets.hub.share import share_dataset
from lunar_offline.errors import RefusedError, RemoteError
from lunar_offline.storage.datasets_root import datasets_root


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda files: files["README.md"].write_text("x"), "does not match its sha256"),
        (lambda files: files["manifest.json"].unlink(), "has no manifest.json"),
        (lambda files: files["data/metadata.json"].unlink(), r"metadata\.json: No such file"),
    ],
)
def test_a_damaged_dataset_is_not_sent(hub: Hub, dataset: str, damage, reason: str) -> None:
    damage({name: datasets_root() / ID / name for name in FILES})
    with pytest.raises(RefusedError, match=reason):
        share_dataset(dataset, remote="hf://me")
    assert hub.requests == []


SPOILED = {
    "damaged in transfer": flip,
    r"peer closed|incomplete": lambda content: content[: len(content) // 2],
}


@pytest.mark.parametrize("reason", SPOILED)
@pytest.mark.parametrize("name", [DATA, "manifest.json"])
def test_a_damaged_download_leaves_nothing(
    hub: Hub, dataset: str, elsewhere, reason: str, name: str
) -> None:
    share_dataset(dataset, remote="hf://me")
    hub.body = lambda path, content: SPOILED[reason](content) if path.endswith(name) else content
    root = elsewhere()
    with pytest.raises(RemoteError, match=reason):
        fetch_dataset(dataset, remote="hf://me")
    assert files_at(root) == []
    hub.body = lambda path, content: content
    fetch_dataset(dataset, remote="hf://me")


@pytest.mark.parametrize("name", [DATA, "manifest.json"])
def test_a_damaged_blob_leaves_nothing(
    gcp: Place, dataset: str, elsewhere, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    share_dataset(dataset, remote=gcp.url)
    get_file = Storage.get_file

    def get_and_spoil(self, bucket: str, path: str, *arguments):
        content = get_file(self, bucket, path, *arguments)
        return flip(content) if path == f"{ID}/{name}" else content

    root = elsewhere()
    with monkeypatch.context() as patch:
        patch.setattr(Storage, "get_file", get_and_spoil)
        with pytest.raises(RemoteError, match="damaged in transfer"):
            fetch_dataset(dataset, remote=gcp.url)
    assert files_at(root) == []
    fetch_dataset(dataset, remote=gcp.url)


@pytest.mark.parametrize(
    "content", [b"[]", b"{", b'{"datasets": "x"}', b'{"namespaces": {"a": 1}}', b"[" * 100_000]
)
def test_a_malformed_namespace_file_is_refused(hub: Hub, dataset: str, content: bytes) -> None:
    hub.repos["me/box2d"] = {"namespace_metadata.json": content}
    with pytest.raises(RemoteError, match="not a list of datasets and namespaces"):
        share_dataset(dataset, remote="hf://me")
    assert hub.repos["me/box2d"] == {"namespace_metadata.json": content}


def test_what_a_namespace_file_lists_stays(hub: Hub, dataset: str) -> None:
    listed = {"datasets": ["box2d/b-v0", "box2d/a-v0"], "namespaces": ["box2d/xx"], "author": "me"}
    hub.repos["me/box2d"] = {"namespace_metadata.json": json.dumps(listed).encode()}
    share_dataset(dataset, remote="hf://me", remote_id="box2d/yy/c-v0")
    files = hub.repos["me/box2d"]
    assert json.loads(files["namespace_metadata.json"]) == {
        "datasets": ["box2d/b-v0", "box2d/a-v0", "box2d/yy/c-v0"],
        "namespaces": ["box2d/xx", "box2d/yy"],
        "author": "me",
    }
    assert files["yy/namespace_metadata.json"] == b"{}"


def test_a_damaged_upload_is_an_error(hub: Hub, dataset: str) -> None:
    hub.body = lambda path, content: flip(content) if path.endswith(".hdf5") else content
    with pytest.raises(RemoteError, match="damaged in transfer"):
        share_dataset(dataset, remote="hf://me")


def test_a_hub_that_stores_something_else(
    hub: Hub, dataset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = HubRemote.send

    def send_and_spoil(self, *arguments) -> bool:
        announced = send(self, *arguments)
        files = hub.repos["me/box2d"]
        files[f"lunar-random-v0/{DATA}"] = flip(files[f"lunar-random-v0/{DATA}"])
        return announced

    monkeypatch.setattr(HubRemote, "send", send_and_spoil)
    with pytest.raises(
        RemoteError, match=r"main_data.hdf5: its sha256 differs from that of the sent file"
    ):
        share_dataset(dataset, remote="hf://me")


def test_a_file_that_its_manifest_does_not_know(place: Place, dataset: str, elsewhere) -> None:
    share_dataset(dataset, remote=place.url)
    data = (datasets_root() / ID / DATA).read_bytes()
    place.put(f"{ID}/{DATA}", flip(data))
    root = elsewhere()
    with pytest.raises(RemoteError, match=r"does not match its sha256 in manifest\.json"):
        fetch_dataset(dataset, remote=place.url)
    place.put(f"{ID}/{DATA}", data[:-1])
    with pytest.raises(
        RemoteError, match=r"lists data/main_data\.hdf5 with .* bytes, but the remote has"
    ):
        fetch_dataset(dataset, remote=place.url)
    place.put(f"{ID}/{DATA}", data)
    place.delete(f"{ID}/README.md")
    with pytest.raises(
        RemoteError, match=r"lists README.md with \d+ bytes, but the remote has none"
    ):
        fetch_dataset(dataset, remote=place.url)
    place.put(f"{ID}/manifest.json", b"[]")
    with pytest.raises(RemoteError, match="is not a manifest"):
        fetch_dataset(dataset, remote=place.url)
    assert files_at(root) == []


def test_a_dataset_of_another_id_or_env_is_refused(place: Place, dataset: str, elsewhere) -> None:
    data = datasets_root() / ID / "data"
    metadata = json.loads((data / "metadata.json").read_text())
    root = elsewhere()
    place.put(f"{ID}/{DATA}", (data / "main_data.hdf5").read_bytes())
    for change, kind, reason in (
        (
            {"dataset_id": "box2d/other-v0"},
            RefusedError,
            "its dataset_id is 'box2d/other-v0', not box2d/",
        ),
        ({"env_spec": '{"id": "os:system"}'}, RefusedError, "env 'os:system' is not registered$"),
        ({"total_steps": 1}, RefusedError, f"{place.url}/{ID}/data/main_data.hdf5: episode_0"),
    ):
        place.put(f"{ID}/data/metadata.json", json.dumps(metadata | change).encode())
        with pytest.raises(kind, match=reason) as refused:
            fetch_dataset(dataset, remote=place.url)
        assert ".lunar-offline" not in str(refused.value)
    place.put(f"{ID}/data/metadata.json", json.dumps(metadata).encode())
    place.put(f"{ID}/{DATA}", bytes(5 << 20))
    with pytest.raises(RemoteError, match=r"states \d+ steps, but the data have 5242880 bytes"):
        fetch_dataset(dataset, remote=place.url)
    assert files_at(root) == []


@pytest.mark.parametrize(
    ("remote", "name"),
    [
        ("hf", "../../evil"),
        ("hf", "x/../../../evil"),
        ("hf", "/etc/evil"),
        ("hf", "data/a\x1b.hdf5"),
        ("gcp", "evil.py"),  # the emulator itself takes none of those
    ],
)
def test_a_hostile_name_is_refused(
    request: pytest.FixtureRequest, dataset: str, elsewhere, remote: str, name: str
) -> None:
    place: Place = request.getfixturevalue(remote)
    for file in sorted(FILES):
        place.put(f"{ID}/{file}", (datasets_root() / ID / file).read_bytes())
    place.put(f"{ID}/{name}", b"boo")
    root = elsewhere()
    with pytest.raises(RemoteError, match="which is not a file of an HDF5 dataset"):
        fetch_dataset(dataset, remote=place.url)
    assert not root.exists()


def test_more_bytes_than_announced_are_not_taken(hub: Hub, dataset: str, elsewhere) -> None:
    share_dataset(dataset, remote="hf://me")
    describe, root = hub.describe, elsewhere()
    hub.describe = lambda path, content: describe(path, content) | {"size": 10}
    with pytest.raises(RemoteError, match="sent more than its 10 bytes"):
        fetch_dataset(dataset, remote="hf://me")
    hub.describe = lambda path, content: describe(path, content) | {"size": 1 << 50}
    with pytest.raises(RemoteError, match="too large"):
        fetch_dataset(dataset, remote="hf://me")
    assert files_at(root) == []

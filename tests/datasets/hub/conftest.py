"""Remotes on this machine, and a dataset to share."""

import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from gcp_storage_emulator.server import create_server
from google.cloud import storage
from loopback import TOKEN, Hub, key_file, serving, token_server
from sharing import ID, INFO, Place

from lunar_offline.datasets.dataset import read_dataset
from lunar_offline.datasets.episode_file import EpisodeFile
from lunar_offline.datasets.publish import publish
from lunar_offline.envs.registry import find_env
from lunar_offline.storage.datasets_root import datasets_root


@pytest.fixture(scope="session")
def bucket_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """The emulator's address and the path of a key file."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    tokens = token_server()
    key = tmp_path_factory.mktemp("gcp") / "key.json"
    key.write_text(key_file(f"http://127.0.0.1:{tokens.server_address[1]}/"))
    server = create_server("127.0.0.1", port, in_memory=True, default_bucket="lunar")
    server.start()
    with serving(tokens):
        yield f"http://127.0.0.1:{port}", str(key)
    server.stop()


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    server = Hub()
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with serving(server):
        yield server


@pytest.fixture
def hf(hub: Hub) -> Place:
    hub.repos["me/box2d"] = {}

    def put(name: str, content: bytes) -> None:
        hub.repos["me/box2d"][name.removeprefix("box2d/")] = content

    return Place("hf://me", put, lambda name: hub.repos["me/box2d"].pop(name[6:]))


@pytest.fixture
def gcp(bucket_server: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> Place:
    address, key = bucket_server
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", address)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", key)
    bucket = storage.Client.from_service_account_json(key).bucket("lunar")
    for blob in bucket.list_blobs():
        blob.delete()
    return Place(
        "gcp://lunar",
        lambda name, content: bucket.blob(name).upload_from_string(content),
        lambda name: bucket.blob(name).delete(),
    )


@pytest.fixture(params=["hf", "gcp"])
def place(request: pytest.FixtureRequest) -> Place:
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory, random_episodes) -> Path:
    """A root with one dataset, to be copied."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINARI_DATASETS_PATH", str(tmp_path_factory.mktemp("published")))
        publish(ID, EpisodeFile(random_episodes[True][:3]), find_env(discrete=True), INFO)
        read_dataset(ID)  # once for all, for the reader's cache
        return datasets_root()


@pytest.fixture
def dataset(published: Path) -> str:
    shutil.copytree(published, datasets_root())
    return ID


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[], Path]:
    """Move to another root for datasets, as on another machine."""

    def move() -> Path:
        monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "elsewhere"))
        return tmp_path / "elsewhere"

    return move

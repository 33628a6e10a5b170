"""A remote that fails, refuses or is silent is one clear line; secrets are in none."""

import socket
import sys
from pathlib import Path

import pytest
from loopback import Hub, constants
from sharing import ID, Place, files_at

from lunar_offline.datasets.hub.fetch import fetch_dataset
from lunar_offline.datasets.hub.hugging_face import Hub as HubRemote
from lunar_offline.datasets.hub.remote import Remote
from lunar_offline.datasets.hub.share import share_dataset
from lunar_offline.errors import RemoteError, UsageError


@pytest.mark.parametrize(
    ("status", "reason"),
    [(401, "check HF_TOKEN"), (403, "check HF_TOKEN"), (404, "not found"), (500, "500; try")],
)
def test_an_answer_that_is_an_error(hub: Hub, dataset: str, status: int, reason: str) -> None:
    hub.status = status
    for call in (fetch_dataset, share_dataset):
        with pytest.raises(RemoteError, match=reason) as error:
            call(dataset, remote="hf://me")
        assert "\n" not in str(error.value)
        assert error.value.exit_code == 4


@pytest.mark.parametrize("remote", ["hf://me", "gcp://lunar"])
@pytest.mark.parametrize("silent", [True, False], ids=["silent", "closed"])
def test_a_remote_that_is_dead(
    hub: Hub, gcp: Place, monkeypatch: pytest.MonkeyPatch, remote: str, silent: bool
) -> None:
    monkeypatch.setattr(Remote, "timeout_s", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        if not silent:
            server.close()
        monkeypatch.setattr(constants, "ENDPOINT", address)
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", address)
        reason = r"no answer within 0\.3 s" if silent else "cannot be reached"
        with pytest.raises(RemoteError, match=f"{remote}: {reason}"):
            fetch_dataset("box2d/none-v0", remote=remote)


def test_a_hub_that_falls_silent(
    hub: Hub, dataset: str, elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    share_dataset(dataset, remote="hf://me")
    monkeypatch.setattr(Remote, "timeout_s", 0.3)

    def fall_silent(path: str, content: bytes) -> bytes:
        hub.silent_s = 1.0
        return content

    hub.body = fall_silent
    root = elsewhere()
    with pytest.raises(RemoteError, match="no answer within"):
        fetch_dataset(dataset, remote="hf://me")
    assert files_at(root) == []


def test_nothing_is_there(place: Place) -> None:
    with pytest.raises(RemoteError, match="box2d/none-v0: there is no such dataset"):
        fetch_dataset("box2d/none-v0", remote=place.url)


def test_two_who_send_at_once(hub: Hub, dataset: str, monkeypatch: pytest.MonkeyPatch) -> None:
    share_dataset(dataset, remote="hf://me", remote_id="box2d/first-v0")
    announcements = HubRemote._announcements

    def meanwhile(self, *arguments):
        hub.commits += 1
        return announcements(self, *arguments)

    monkeypatch.setattr(HubRemote, "_announcements", meanwhile)
    with pytest.raises(RemoteError, match="changed by another client in the meantime"):
        share_dataset(dataset, remote="hf://me")


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        (None, "set the environment variable HF_TOKEN to a token"),
        (" ", "set the environment variable HF_TOKEN"),
        ("hf_secret\x07", "invalid in a token"),
    ],
)
def test_a_token_that_is_none(
    hub: Hub, dataset: str, monkeypatch: pytest.MonkeyPatch, token: str | None, reason: str
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(UsageError, match=reason) as error:
        share_dataset(dataset, remote="hf://me")
    assert "secret" not in str(error.value)
    assert hub.requests == []


def test_a_key_file_that_is_none(dataset: str, gcp: Place, monkeypatch, tmp_path: Path) -> None:
    (tmp_path / "key.json").write_text('{"private_key": "secret"}')
    for path in ("none.json", "key.json"):
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", path)
        with pytest.raises(
            UsageError, match=f"{path} is not the key file of a service account"
        ) as error:
            share_dataset(dataset, remote=gcp.url)
        assert "secret" not in str(error.value)


def test_a_missing_extra_is_named(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    monkeypatch.delitem(sys.modules, "lunar_offline.datasets.hub.hugging_face")
    with pytest.raises(UsageError, match=r"pip install 'lunar-offline\[share\]'"):
        fetch_dataset(ID, remote="hf://me")

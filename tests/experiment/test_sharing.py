"""Real transfers over loopback: what arrives has the same sha256, or a clear error and nothing."""

import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from gcp_storage_emulator.server import create_server
from google.cloud import storage
from loopback import TOKEN, Hub, constants, key_file, serving, token_server
from lunar_offline_cli.app import main

from lunar_offline.data.episode_file import EpisodeFile
from lunar_offline.data.ids import datasets_root
from lunar_offline.data.manifest import check_files, read_manifest
from lunar_offline.data.parcel import pack
from lunar_offline.data.publish import DatasetInfo, publish
from lunar_offline.data.reader import read_dataset
from lunar_offline.data.remote.base import Remote
from lunar_offline.data.remote.hub import Hub as HubRemote
from lunar_offline.data.staging import PREFIX, staging
from lunar_offline.envs import lander
from lunar_offline.errors import RefusedError, RemoteError, UsageError
from lunar_offline.experiment.fetch import fetch_dataset
from lunar_offline.experiment.share import share_dataset

ID = "box2d/lunar-random-v0"
DATA = "data/main_data.hdf5"
FILES = {"README.md", "manifest.json", DATA, "data/metadata.json"}
INFO = DatasetInfo(
    algorithm_name="lunar_offline/random",
    description="Test data.",
    requirements=["gymnasium[box2d]"],
    ref_min_score=-200.0,
    ref_max_score=260.0,
    recipe={"seed": 3},
    provenance={"commit": None},
    statistics={"episodes": 3},
    card="# box2d/lunar-random-v0\n\nNot box2d/lunar-random-v01.\n",
)


class Place:
    """A remote whose files a test may see and change."""

    def __init__(
        self, url: str, put: Callable[[str, bytes], None], delete: Callable[[str], None]
    ) -> None:
        self.url, self.put, self.delete = url, put, delete


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
        publish(ID, EpisodeFile(random_episodes[True][:3]), lander(discrete=True), INFO)
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


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def minari(*arguments: str, place: Place) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [Path(sys.executable).with_name("minari"), *arguments],
        # no Xet store here: large files go over git LFS
        env=os.environ | {"MINARI_REMOTE": place.url, "HF_HUB_DISABLE_XET": "1"},
        input="y\n",
        capture_output=True,
        text=True,
    )


def files_at(root: Path) -> list[str]:
    return [path.as_posix() for path in root.rglob("*") if path.is_file()]


def test_what_was_shared_is_fetched_byte_for_byte(place: Place, dataset: str, elsewhere) -> None:
    before = digests(datasets_root() / dataset)
    place.put(f"{ID}1/evil.py", b"boo")  # a neighbour is no part of it
    shared = share_dataset(dataset, remote=place.url)
    assert set(shared.sent) == FILES
    assert {name: file["sha256"] for name, file in shared.files.items()} == before
    assert share_dataset(dataset, remote=place.url).sent == []

    root = elsewhere()
    fetched = fetch_dataset(dataset, remote=place.url)
    assert (fetched.manifest, fetched.was_there) == (True, False)
    assert digests(root / dataset) == before
    assert fetched.sha256 == before[DATA] == read_dataset(dataset).sha256
    assert fetch_dataset(dataset, remote=place.url).was_there
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
    assert fetch_dataset(new_id, remote=place.url).was_there


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


def test_another_id_is_said_everywhere(hub: Hub, dataset: str, elsewhere) -> None:
    new_id = "box2d/lunar-random-v1"
    share_dataset(dataset, remote="hf://me", remote_id=new_id)
    folder = elsewhere() / new_id
    fetch_dataset(new_id, remote="hf://me")
    manifest = read_manifest(folder) or {}
    check_files(folder, manifest)
    assert manifest["dataset_id"] == read_dataset(new_id).metadata["dataset_id"] == new_id
    card = (folder / "README.md").read_text()
    assert card == f"# {new_id}\n\nNot box2d/lunar-random-v01.\n"


@pytest.mark.parametrize("lost", [[DATA], ["manifest.json", "data/metadata.json"], []])
def test_half_an_upload_is_said_and_completed(
    place: Place, dataset: str, elsewhere, lost: list[str]
) -> None:
    share_dataset(dataset, remote=place.url)
    for name in lost:
        place.delete(f"{ID}/{name}")
    place.delete("box2d/namespace_metadata.json")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINARI_DATASETS_PATH", "elsewhere")
        if lost:
            with pytest.raises(RemoteError, match="is missing, as after half an upload"):
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
    publish(ID, EpisodeFile(random_episodes[True][1:4]), lander(discrete=True), INFO)
    mine = digests(datasets_root() / ID)
    with pytest.raises(RefusedError, match=r"has another box2d/lunar-random-v0 \(.* differs\)"):
        share_dataset(dataset, remote=place.url)
    with pytest.raises(RefusedError, match="has another content than"):
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
    publish("lunar-random-v0", EpisodeFile(random_episodes[True][:2]), lander(discrete=True), INFO)
    use = "lunar-offline share lunar-random-v0 --remote hf://me --as box2d/lunar-random-v0"
    with pytest.raises(RefusedError, match=use):
        share_dataset("lunar-random-v0", remote="hf://me")
    assert hub.requests == []
    shared = share_dataset("lunar-random-v0", remote="hf://me", remote_id=ID)
    assert shared.remote_id == ID


def test_what_minari_leaves_without_a_namespace_is_fetched(hub: Hub, dataset: str) -> None:
    parcel = pack(dataset, "lunar-random-v0")
    hub.repos["me/lunar-random-v0"] = {".gitattributes": b""} | {
        name: content if isinstance(content, bytes) else content.read_bytes()
        for name, content in parcel.contents.items()
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


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda files: files["README.md"].write_text("x"), "does not match its sha256"),
        (lambda files: files["manifest.json"].unlink(), "has no manifest.json"),
        (lambda files: files["data/metadata.json"].unlink(), "is missing"),
    ],
)
def test_a_damaged_dataset_is_not_sent(hub: Hub, dataset: str, damage, reason: str) -> None:
    damage({name: datasets_root() / ID / name for name in FILES})
    with pytest.raises(RefusedError, match=reason):
        share_dataset(dataset, remote="hf://me")
    assert hub.requests == []


def _flip(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


SPOILED = {
    "damaged on its way": _flip,
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


def test_a_damaged_upload_is_an_error(hub: Hub, dataset: str) -> None:
    hub.body = lambda path, content: _flip(content) if path.endswith(".hdf5") else content
    with pytest.raises(RemoteError, match="damaged on its way"):
        share_dataset(dataset, remote="hf://me")


def test_a_hub_that_stores_something_else(
    hub: Hub, dataset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = HubRemote.send

    def send_and_spoil(self, *arguments) -> None:
        send(self, *arguments)
        files = hub.repos["me/box2d"]
        files[f"lunar-random-v0/{DATA}"] = _flip(files[f"lunar-random-v0/{DATA}"])

    monkeypatch.setattr(HubRemote, "send", send_and_spoil)
    with pytest.raises(RemoteError, match=r"main_data.hdf5: has another sha256 than what was sent"):
        share_dataset(dataset, remote="hf://me")


def test_a_file_that_its_manifest_does_not_know(place: Place, dataset: str, elsewhere) -> None:
    share_dataset(dataset, remote=place.url)
    data = (datasets_root() / ID / DATA).read_bytes()
    place.put(f"{ID}/{DATA}", _flip(data))
    root = elsewhere()
    with pytest.raises(RemoteError, match=r"does not match its sha256 in manifest\.json"):
        fetch_dataset(dataset, remote=place.url)
    place.put(f"{ID}/{DATA}", data[:-1])
    with pytest.raises(RemoteError, match=r"lists data/main_data\.hdf5 with .* bytes, and"):
        fetch_dataset(dataset, remote=place.url)
    place.put(f"{ID}/{DATA}", data)
    place.delete(f"{ID}/README.md")
    with pytest.raises(RemoteError, match=r"lists README.md with \d+ bytes, and there are none"):
        fetch_dataset(dataset, remote=place.url)
    place.put(f"{ID}/manifest.json", b"[]")
    with pytest.raises(RemoteError, match="is no manifest"):
        fetch_dataset(dataset, remote=place.url)
    assert files_at(root) == []


def test_a_dataset_of_another_id_or_env_is_refused(place: Place, dataset: str, elsewhere) -> None:
    data = datasets_root() / ID / "data"
    metadata = json.loads((data / "metadata.json").read_text())
    root = elsewhere()
    place.put(f"{ID}/{DATA}", (data / "main_data.hdf5").read_bytes())
    for change, kind, reason in (
        ({"dataset_id": "box2d/other-v0"}, RefusedError, "is of 'box2d/other-v0', not of"),
        ({"env_spec": '{"id": "os:system"}'}, RefusedError, "'os:system', not LunarLander-v3"),
        ({"total_steps": 1}, RefusedError, f"{place.url}/{ID}/data/main_data.hdf5: episode_0"),
    ):
        place.put(f"{ID}/data/metadata.json", json.dumps(metadata | change).encode())
        with pytest.raises(kind, match=reason) as refused:
            fetch_dataset(dataset, remote=place.url)
        assert ".lunar-offline" not in str(refused.value)
    place.put(f"{ID}/data/metadata.json", json.dumps(metadata).encode())
    place.put(f"{ID}/{DATA}", bytes(5 << 20))
    with pytest.raises(RemoteError, match=r"says \d+ steps, but 5242880 bytes would come"):
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
    with pytest.raises(RemoteError, match="which is no file of an HDF5 dataset"):
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


@pytest.mark.parametrize(
    ("status", "reason"),
    [(401, "check HF_TOKEN"), (403, "check HF_TOKEN"), (404, "not there"), (500, "500; try")],
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
    announcements = HubRemote.announcements

    def meanwhile(self, *arguments):
        hub.commits += 1
        return announcements(self, *arguments)

    monkeypatch.setattr(HubRemote, "announcements", meanwhile)
    with pytest.raises(RemoteError, match="changed by someone else meanwhile"):
        share_dataset(dataset, remote="hf://me")


@pytest.mark.parametrize(
    ("token", "reason"),
    [(None, "set HF_TOKEN to a token"), (" ", "set HF_TOKEN"), ("hf_secret\x07", "no token has")],
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
        with pytest.raises(UsageError, match=f"{path} is no service account's key file") as error:
            share_dataset(dataset, remote=gcp.url)
        assert "secret" not in str(error.value)


def test_a_missing_extra_is_named(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    monkeypatch.delitem(sys.modules, "lunar_offline.data.remote.hub")
    with pytest.raises(UsageError, match=r"pip install 'lunar-offline\[share\]'"):
        fetch_dataset(ID, remote="hf://me")


def test_what_a_crash_left_goes_away_and_what_is_in_use_stays() -> None:
    home = datasets_root() / ".lunar-offline"
    (home / f"{PREFIX}old" / "data").mkdir(parents=True)
    (home / "x-v0").mkdir()
    with staging() as first, staging() as second:
        assert {path.name for path in home.iterdir()} == {first.name, second.name, "x-v0"}
    assert [path.name for path in home.iterdir()] == ["x-v0"]


def test_the_commands(
    hub: Hub,
    dataset: str,
    elsewhere,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    said = ""

    def run(*arguments: str) -> tuple[int, str]:
        nonlocal said
        monkeypatch.setattr(sys, "argv", ["lunar-offline", *arguments])
        with pytest.raises(SystemExit) as stop:
            main()
        out, err = capfd.readouterr()
        said += out + err
        return int(stop.value.code or 0), out

    monkeypatch.setenv("MINARI_REMOTE", "hf://me")
    code, out = run("share", dataset, "--dry-run", "--json")
    assert (code, json.loads(out)["dry_run"]) == (0, True)
    code, out = run("share", dataset)
    assert (code, "4 of 4 files sent" in out) == (0, True)
    code, out = run("share", dataset, "--json")
    assert (code, json.loads(out)["sent"]) == (0, [])
    elsewhere()
    code, out = run("fetch", dataset)
    assert (code, "every sha256 is the one of its manifest" in out) == (0, True)
    code, out = run("fetch", dataset, "--json")
    assert (code, json.loads(out)["was_there"]) == (0, True)
    assert run("fetch", "box2d/none-v0") == (4, "")
    hub.status = 500
    assert run("share", dataset) == (4, "")
    assert TOKEN not in said


KILLS = """
import os, signal, sys
from pathlib import Path
from lunar_offline.data import publish
from lunar_offline.data.manifest import check_files, read_manifest
import lunar_offline.data.remote.hub
from lunar_offline.errors import LunarOfflineError
from lunar_offline.experiment import fetch

dataset_id, root = sys.argv[1], Path(os.environ["MINARI_DATASETS_PATH"])

class Killer:
    def __init__(self, after):
        self.left = after

    def phase(self, *_):
        self.advance()

    def advance(self, *_, **__):
        self.left -= 1
        if self.left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

def kill_around(module, name, after):
    original = getattr(module, name)

    def killer(*arguments, **keywords):
        if after:
            original(*arguments, **keywords)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(module, name, killer)

POINTS = [*range(5), (fetch, "read_dataset", 0), (publish, "sync_tree", 0),
    (publish, "check_free", 1), (Path, "rename", 0), (Path, "rename", 1)]
for point in POINTS:
    child = os.fork()
    if child == 0:
        if not isinstance(point, int):
            kill_around(*point)
        observer = Killer(point) if isinstance(point, int) else None
        fetch.fetch_dataset(dataset_id, remote="hf://me", observer=observer)
        os._exit(1)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL, point
    there = (root / dataset_id).exists()
    assert there == (point == POINTS[-1]), point
    assert len(list((root / ".lunar-offline").iterdir())) <= 1, point
check_files(root / dataset_id, read_manifest(root / dataset_id))
assert fetch.fetch_dataset(dataset_id, remote="hf://me").was_there
os.rename(root / dataset_id, root / "killed")
assert not fetch.fetch_dataset(dataset_id, remote="hf://me").was_there
assert not list((root / ".lunar-offline").iterdir())
print(len(POINTS), "killed")
"""


def test_ten_kills_leave_all_or_nothing(hub: Hub, dataset: str, elsewhere) -> None:
    share_dataset(dataset, remote="hf://me")
    elsewhere()
    done = subprocess.run(
        [sys.executable, "-c", KILLS, dataset], capture_output=True, text=True, timeout=120
    )
    assert done.stdout == "10 killed\n", done.stderr

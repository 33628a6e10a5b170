"""Remotes on this machine: a small Hugging Face hub, and a token server for the gcp emulator."""

import atexit
import base64
import hashlib
import json
import os
import re
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

with socket.create_server(("127.0.0.1", 0)) as _probe:
    PORT = _probe.getsockname()[1]
os.environ["HF_ENDPOINT"] = f"http://127.0.0.1:{PORT}"
os.environ["HF_HOME"] = tempfile.mkdtemp(prefix="hf-home-")
atexit.register(shutil.rmtree, os.environ["HF_HOME"], ignore_errors=True)
from huggingface_hub import constants as constants  # noqa: E402  (reads both when it is imported)

TOKEN = "hf_" + "x" * 34


def git_id(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class Hub(ThreadingHTTPServer):
    """The endpoints of Hugging Face that its client needs for datasets; `repos` holds the files.

    A test may spoil it: `body` changes a file on its way, `status` answers every request with an
    error, `silent_s` waits before it answers.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", PORT), _Answer)
        self.url = os.environ["HF_ENDPOINT"]
        self.repos: dict[str, dict[str, bytes]] = {}
        self.lfs: dict[str, bytes] = {}
        self.commits = int.from_bytes(os.urandom(8))  # a client's cache never meets one twice
        self.requests: list[str] = []
        self.body: Callable[[str, bytes], bytes] = lambda path, content: content
        self.status: int | None = None
        self.silent_s = 0.0

    def handle_error(self, request, client_address) -> None:
        """A client that was killed or gave up is what is tested."""

    def revision(self) -> str:
        return f"{self.commits:040x}"

    def describe(self, path: str, content: bytes) -> dict:
        about = {"path": path, "rfilename": path, "size": len(content), "type": "file"}
        about |= {"oid": git_id(content), "blobId": git_id(content)}
        if path.endswith(".hdf5"):
            sha256 = hashlib.sha256(content).hexdigest()
            about["lfs"] = {"oid": sha256, "sha256": sha256, "size": len(content)}
            about["lfs"]["pointerSize"] = 134
        return about


class _Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # which costs 40 ms an answer
    server: Hub

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _say(self, value: object = None, status: int = 200, error: str = "", **headers) -> None:
        content = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        # a client that is kept between two tests must not keep the hub of the first
        self.send_header("Connection", "close")
        for key, text in headers.items():
            self.send_header(key.replace("_", "-"), text)
        if error:
            self.send_header("X-Error-Code", error)
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
            self.wfile.flush()

    def _handle(self) -> None:
        hub, path = self.server, unquote(urlsplit(self.path).path)
        received = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            while size := int(self.rfile.readline(), 16):
                received += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        hub.requests.append(f"{self.command} {path}")
        time.sleep(hub.silent_s)
        bearer = self.headers.get("Authorization")
        wrong = bearer not in (None, f"Bearer {TOKEN}")
        if hub.status or wrong or (self.command == "POST" and not bearer):
            if wrong or not hub.status:
                message = "Invalid credentials in Authorization header"
                self._say({}, 401, X_Error_Message=message)
            else:
                self._say({}, hub.status)
        elif path == "/api/datasets":
            self._say([{"id": repo} for repo in hub.repos])
        elif path == "/api/repos/create":
            asked = json.loads(received)
            hub.repos.setdefault(f"{asked['organization']}/{asked['name']}", {})
            self._say({"url": f"{hub.url}/datasets/{asked['organization']}/{asked['name']}"})
        elif path == "/api/validate-yaml":
            self._say({"errors": [], "warnings": []})
        elif path.startswith("/lfs/"):
            hub.lfs[path.rpartition("/")[2]] = received
            self._say({})
        elif match := re.fullmatch(r"(?:/api)?/datasets/([^/]+/[^/]+?)(?:\.git)?(/.*)?", path):
            self._in_repo(match[1], match[2] or "", received)
        else:
            self._say({}, 404)

    do_GET = do_HEAD = do_POST = do_PUT = _handle

    def _in_repo(self, repo: str, path: str, received: bytes) -> None:
        hub, files = self.server, self.server.repos.get(repo)
        if files is None:
            self._say({}, 404, "RepoNotFound")
        elif path == "" or path.startswith("/revision/"):
            siblings = [hub.describe(name, content) for name, content in files.items()]
            self._say({"id": repo, "sha": hub.revision(), "siblings": siblings})
        elif path.startswith("/tree/"):
            self._say([hub.describe(name, content) for name, content in files.items()])
        elif path.startswith("/preupload/"):
            modes = [
                {
                    "path": file["path"],
                    "uploadMode": "lfs" if file["path"].endswith(".hdf5") else "regular",
                    "shouldIgnore": False,
                }
                for file in json.loads(received)["files"]
            ]
            self._say({"files": modes})
        elif path.startswith("/info/lfs/"):
            objects = [
                {**thing, "actions": {"upload": {"href": f"{hub.url}/lfs/{thing['oid']}"}}}
                for thing in json.loads(received)["objects"]
            ]
            self._say({"objects": objects, "transfer": "basic"})
        elif path.startswith("/commit/"):
            self._commit(repo, files, [json.loads(line) for line in received.splitlines()])
        elif match := re.fullmatch(r"/resolve/[^/]+/(.*)", path):
            self._send_file(match[1], files.get(match[1]))

    def _commit(self, repo: str, files: dict[str, bytes], lines: list[dict]) -> None:
        hub = self.server
        if lines[0]["value"].get("parentCommit", hub.revision()) != hub.revision():
            self._say({}, 412)
            return
        for line in lines[1:]:
            value = line["value"]
            lfs = line["key"] == "lfsFile"
            files[value["path"]] = (
                hub.lfs[value["oid"]] if lfs else base64.b64decode(value["content"])
            )
        hub.commits += 1
        oid = hub.revision()
        self._say({"commitUrl": f"{hub.url}/datasets/{repo}/commit/{oid}", "commitOid": oid})

    def _send_file(self, name: str, content: bytes | None) -> None:
        hub = self.server
        if content is None:
            self._say({}, 404, "EntryNotFound")
            return
        about = {"ETag": f'"{git_id(content)}"', "X_Repo_Commit": hub.revision()}
        sent = hub.body(name, content)
        self._say(sent, Content_Length=str(len(content)), **about)


class _TokenServer(BaseHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_POST(self) -> None:
        content = json.dumps({"access_token": "x", "expires_in": 3600, "token_type": "Bearer"})
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content.encode())


def token_server() -> ThreadingHTTPServer:
    """Give an access token to anyone who asks."""
    return ThreadingHTTPServer(("127.0.0.1", 0), _TokenServer)


@contextmanager
def serving(server: ThreadingHTTPServer) -> Iterator[None]:
    """Answer in a thread for a while."""
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def key_file(token_uri: str) -> str:
    """Return a service account's key file with a fresh key of its own."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    account = {
        "type": "service_account",
        "project_id": "lunar",
        "private_key_id": "0",
        "private_key": pem.decode(),
        "client_email": "lunar@lunar.invalid",
        "client_id": "0",
        "token_uri": token_uri,
    }
    return json.dumps(account)

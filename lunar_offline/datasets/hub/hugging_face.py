"""A Hugging Face account in Minari's layout: a repository per namespace, a folder per dataset.

The dataset `a/b/x-v0` is the folder `b/x-v0` of the dataset repository `a`. The file
`namespace_metadata.json` of the repository lists its datasets and inner namespaces.
"""

import io
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from typing import Any

from huggingface_hub import (
    CommitOperationAdd,
    HfApi,
    constants,
    get_session,
    hf_hub_url,
    set_client_factory,
)
from huggingface_hub.errors import RepositoryNotFoundError
from huggingface_hub.utils import build_hf_headers, disable_progress_bars, logging

from lunar_offline.datasets.hub.remote import (
    NAMESPACE,
    Advance,
    LocalFile,
    Remote,
    RemoteFile,
    receive,
)
from lunar_offline.errors import RemoteError

CHUNK_BYTES = 1 << 20
MAX_NAMESPACE_BYTES = 4 << 20
HUBS_OWN = ".gitattributes"


@cache
def _prepare_library() -> None:
    """Set the library's HTTP client, upload protocol, log level and progress bars.

    The settings apply to the complete process. By default, the library has no timeout (it waited
    more than 150 s), prints between the lines of this program, and sends large files with hf_xet,
    which was still retrying an unreachable store after ten minutes; Git LFS uses the HTTP client.
    """
    client, hooks = type(get_session()), get_session().event_hooks
    set_client_factory(
        lambda: client(event_hooks=hooks, follow_redirects=True, timeout=Remote.timeout_s)
    )
    constants.HF_HUB_DISABLE_XET = True
    disable_progress_bars()
    logging.set_verbosity_error()


class Hub(Remote):
    """See Remote; the secret is a token."""

    def __init__(self, address: str, secret: str) -> None:
        super().__init__(address, secret)
        self._api = HfApi(token=secret or False)  # False: do not use a stored login either
        self._revision: str | None = None  # None: there is no repository
        self._there: dict[str, RemoteFile] = {}
        _prepare_library()

    def look(self, dataset_id: str) -> Mapping[str, RemoteFile]:
        """See Remote."""
        repo, folder = self._locate(dataset_id)
        with self.asking():
            try:
                info = self._api.dataset_info(repo, files_metadata=True, timeout=self.timeout_s)
            except RepositoryNotFoundError:
                return {}
            self._revision = info.sha
            self._there = {s.rfilename: self._file(repo, s) for s in info.siblings or []}
        inside = [path for path in self._there if path.startswith(folder) and path != HUBS_OWN]
        files = {path.removeprefix(folder): self._there[path] for path in inside}
        self.check_names(dataset_id, files)
        return files

    def read(self, file: RemoteFile, write: Callable[[bytes], int]) -> None:
        """See Remote.

        This is written by hand: the library's download waited six timeouts for a silent server
        (65 s), and was still retrying after 100 s when the server always stopped halfway.
        """
        # without compression, so that the received size is the announced one
        headers = build_hf_headers(token=self.secret or False) | {"Accept-Encoding": "identity"}
        options: dict[str, Any] = {"headers": headers, "timeout": self.timeout_s}
        with self.asking(), get_session().stream("GET", file.handle, **options) as answer:
            if answer.status_code >= 400:
                raise RemoteError(f"{file.where}: {self.answered(answer.status_code)}")
            for chunk in answer.iter_raw(CHUNK_BYTES):
                write(chunk)

    def send(self, dataset_id: str, files: Mapping[str, LocalFile], advance: Advance) -> bool:
        """See Remote. All files are one commit on the listed revision, so all or none are added."""
        repo, folder = self._locate(dataset_id)
        announced = self._announcements(dataset_id)
        contents = announced | {folder + name: file.content for name, file in files.items()}
        if not contents:
            return False
        with self.asking():
            if self._revision is None:
                self._api.create_repo(repo, repo_type="dataset", exist_ok=True)
                self.look(dataset_id)
                if taken := sorted(self._there.keys() & contents.keys()):
                    raise RemoteError(
                        f"{self.address}: {taken[0]} was added in the meantime; try again"
                    )
            self._api.create_commit(
                repo,
                [CommitOperationAdd(path, content) for path, content in contents.items()],
                commit_message=f"Add {dataset_id}",
                repo_type="dataset",
                parent_commit=self._revision,  # upload_folder overwrote a published file
            )
        advance(sum(file.bytes for file in files.values()))
        return bool(announced)

    def _announcements(self, dataset_id: str) -> dict[str, Any]:
        """Return the namespace files, by path, that Minari needs and the remote does not have.

        Minari's upload is not used: it makes four commits, which a crash can separate.
        """
        parts, missing, file = dataset_id.split("/")[:-1], {}, self._there.get(NAMESPACE)
        found = self._namespace(file) if file else {}
        wanted = {**found, "datasets": found.get("datasets") or []}
        if dataset_id not in wanted["datasets"]:
            wanted["datasets"] = [*wanted["datasets"], dataset_id]
        for depth in range(2, len(parts) + 1):
            path, inner = "/".join([*parts[1:depth], NAMESPACE]), "/".join(parts[:depth])
            if path not in self._there:
                missing[path] = b"{}"
            if inner not in (listed := wanted.get("namespaces") or []):
                wanted["namespaces"] = [*listed, inner]
        return missing if wanted == found else missing | {NAMESPACE: json.dumps(wanted).encode()}

    def _namespace(self, file: RemoteFile) -> dict[str, Any]:
        if file.bytes > MAX_NAMESPACE_BYTES:
            raise RemoteError(f"{file.where}: too large")
        text = io.BytesIO()
        receive(self, file, lambda _: None, text)
        with suppress(ValueError, RecursionError, AttributeError):
            namespace = json.loads(text.getvalue())
            lists = [namespace.get(key) or [] for key in ("datasets", "namespaces")]
            if all(isinstance(names, list) for names in lists):
                return namespace
        raise RemoteError(f"{file.where}: is not a list of datasets and namespaces")

    def _locate(self, dataset_id: str) -> tuple[str, str]:
        """Return the repository, and the folder in it: empty, or with a slash at its end."""
        name, _, inside = dataset_id.partition("/")
        return f"{self.name}/{name}", f"{inside}/" if inside else ""

    def _file(self, repo: str, sibling: Any) -> RemoteFile:
        at: dict[str, Any] = {"revision": self._revision, "endpoint": self._api.endpoint}
        url = hf_hub_url(repo, sibling.rfilename, repo_type="dataset", **at)
        where = f"{self.address}/{repo.partition('/')[2]}/{sibling.rfilename}"
        digest = sibling.lfs.sha256 if sibling.lfs else sibling.blob_id
        return RemoteFile(where, int(sibling.size or 0), url, digest or "")

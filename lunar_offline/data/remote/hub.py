"""A Hugging Face account as Minari lays it out: a repository per namespace, a folder per dataset.

An id `a/b/x-v0` lies in the folder `b/x-v0` of the dataset repository `a`, whose
`namespace_metadata.json` lists its datasets and inner namespaces.
"""

import io
import json
from collections.abc import Callable, Mapping
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

from lunar_offline.data.remote.base import (
    NAMESPACE,
    Advance,
    Content,
    Listing,
    Place,
    Remote,
    RemoteFile,
    check_name,
    receive,
    size,
)
from lunar_offline.errors import RemoteError

CHUNK_BYTES = 1 << 20
MAX_NAMESPACE_BYTES = 4 << 20
HUBS_OWN = ".gitattributes"


@cache
def _prepare_library() -> None:
    """Set the library's HTTP client, way to send large files, log level and progress bars.

    They hold for the whole process. By itself the library waits for ever, writes between our own
    lines, and sends large files with hf_xet, which knows no time-out (it was still trying a dead
    store after ten minutes); git LFS goes through the client that has one.
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

    def __init__(self, place: Place, secret: str) -> None:
        self.place, self.secret = place, secret
        self._api = HfApi(token=secret or False)  # False: not even one stored by a login
        _prepare_library()

    def look(self, dataset_id: str) -> Listing:
        """See Remote."""
        repo, folder = self._locate(dataset_id)
        with self.asking():
            try:
                info = self._api.dataset_info(repo, files_metadata=True, timeout=self.timeout_s)
            except RepositoryNotFoundError:
                return Listing({}, (None, {}))
            there = {s.rfilename: self._file(repo, info.sha, s) for s in info.siblings or []}
            inside = [path for path in there if path.startswith(folder) and path != HUBS_OWN]
            files = {path.removeprefix(folder): there[path] for path in inside}
            for name in files:
                check_name(f"{self.place}/{dataset_id}", name)
        return Listing(files, (info.sha, there))

    def read(self, file: RemoteFile, write: Callable[[bytes], int]) -> None:
        """See Remote."""
        # as it is stored: nothing may grow while it is unpacked
        headers = build_hf_headers(token=self.secret or False) | {"Accept-Encoding": "identity"}
        with (
            self.asking(),
            get_session().stream(
                "GET", file.handle, headers=headers, timeout=self.timeout_s
            ) as answer,
        ):
            if answer.status_code >= 400:
                raise RemoteError(f"{file.where}: {self.answered(answer.status_code)}")
            for chunk in answer.iter_raw(CHUNK_BYTES):
                write(chunk)

    def announcements(self, dataset_id: str, listing: Listing) -> Mapping[str, bytes]:
        """See Remote."""
        _, there = listing.state
        parts = dataset_id.split("/")[:-1]
        inner = ["/".join(parts[: depth + 1]) for depth in range(1, len(parts))]
        paths = {f"{name.partition('/')[2]}/{NAMESPACE}": b"{}" for name in inner}
        found = self._namespace(there[NAMESPACE]) if NAMESPACE in there else {}
        wanted = dict(found)
        for key, names in (("datasets", [dataset_id]), ("namespaces", inner)):
            listed = found.get(key) or []
            if not isinstance(listed, list):
                raise RemoteError(f"{there[NAMESPACE].where}: its {key} are no list")
            if added := [name for name in names if name not in listed]:
                wanted[key] = [*listed, *added]
        missing = {path: text for path, text in paths.items() if path not in there}
        if wanted != found:
            missing[NAMESPACE] = json.dumps(wanted).encode()
        return missing

    def send(
        self,
        dataset_id: str,
        files: Mapping[str, Content],
        announcements: Mapping[str, bytes],
        listing: Listing,
        advance: Advance,
    ) -> None:
        """See Remote; one commit on top of what was listed, so all of it or nothing."""
        repo, folder = self._locate(dataset_id)
        contents: dict[str, Content] = {folder + name: content for name, content in files.items()}
        contents |= announcements
        revision, _ = listing.state
        with self.asking():
            if revision is None:
                self._api.create_repo(repo, repo_type="dataset", exist_ok=True)
                revision, there = self.look(dataset_id).state
                if taken := sorted(set(there) & set(contents)):
                    raise RemoteError(f"{self.place}: {taken[0]} came up meanwhile; try again")
            self._api.create_commit(
                repo,
                [CommitOperationAdd(path, content) for path, content in contents.items()],
                commit_message=f"Add {dataset_id}",
                repo_type="dataset",
                parent_commit=revision,
            )
        advance(sum(size(content) for content in files.values()))

    def _locate(self, dataset_id: str) -> tuple[str, str]:
        """Return the repository and the folder in it, empty or with a slash at its end."""
        name, _, inside = dataset_id.partition("/")
        return f"{self.place.name}/{name}", f"{inside}/" if inside else ""

    def _file(self, repo: str, revision: str | None, sibling: Any) -> RemoteFile:
        path = sibling.rfilename
        algorithm, digest = "git", sibling.blob_id or ""
        if sibling.lfs:
            algorithm, digest = "sha256", sibling.lfs.sha256
        url = hf_hub_url(
            repo, path, repo_type="dataset", revision=revision, endpoint=self._api.endpoint
        )
        where = f"{self.place}/{repo.partition('/')[2]}/{path}"
        return RemoteFile(where, int(sibling.size or 0), algorithm if digest else "", digest, url)

    def _namespace(self, file: RemoteFile) -> dict[str, Any]:
        if file.bytes > MAX_NAMESPACE_BYTES:
            raise RemoteError(f"{file.where}: too large")
        text = io.BytesIO()
        receive(self, file, text)
        try:
            namespace = json.loads(text.getvalue())
        except (ValueError, RecursionError):
            namespace = None
        if not isinstance(namespace, dict):
            raise RemoteError(f"{file.where}: not a JSON object")
        return namespace

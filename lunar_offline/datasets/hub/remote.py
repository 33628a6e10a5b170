"""The interface of remotes, and downloads that are hashed and limited to the announced size."""

import dataclasses
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from lunar_offline.datasets.manifest import CARD, MANIFEST
from lunar_offline.errors import LunarOfflineError, RemoteError

DATA = "data/main_data.hdf5"
METADATA = "data/metadata.json"
FILES = frozenset({DATA, METADATA, MANIFEST, CARD})
NAMESPACE = "namespace_metadata.json"
TOKEN_VARIABLES = {"hf": "HF_TOKEN", "gcp": "GOOGLE_APPLICATION_CREDENTIALS"}

Advance = Callable[[int], None]


@dataclass(frozen=True)
class Transfer:
    """The result of `share_dataset` or `fetch_dataset`, or of a dry run.

    Attributes:
        dataset_id: the local id.
        remote: in Minari's notation.
        remote_id: the id on the remote.
        path: the local folder of the dataset.
        files: `bytes` of each file of the dataset, by name, and its `sha256` if it is shared.
        sent: names of the files that were missing on the remote.
        announced: whether namespace files for Minari were added or updated.
        sha256: of main_data.hdf5; None in the dry run of a fetch.
        manifest: whether every file was compared with the dataset's own manifest.
        existed: whether the same dataset already existed at the destination.
        dry_run: whether this was a dry run; that of a share sends no request.
    """

    dataset_id: str
    remote: str
    remote_id: str
    path: Path
    files: Mapping[str, Mapping[str, Any]]
    sent: list[str] = dataclasses.field(default_factory=list)
    announced: bool = False
    sha256: str | None = None
    manifest: bool = False
    existed: bool = False
    dry_run: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return dataclasses.asdict(self) | {"path": str(self.path)}


@dataclass(frozen=True)
class LocalFile:
    """A file of a local dataset: a path on disk, or bytes in memory, and its sha256."""

    content: Path | bytes
    sha256: str

    @property
    def bytes(self) -> int:
        """The size of the file."""
        content = self.content
        return len(content) if isinstance(content, bytes) else content.stat().st_size


@dataclass(frozen=True)
class RemoteFile:
    """A file as the remote lists it.

    Attributes:
        where: its address, for messages.
        bytes: its size.
        handle: the remote's own reference to the file, for `Remote.read`.
        digest: its sha256 or git blob id; empty if there is none, or if `Remote.read` compares one.
    """

    where: str
    bytes: int
    handle: Any
    digest: str = ""


class Remote(ABC):
    """The client of a remote; every method raises RemoteError with a one-line message on failure.

    The layout of the files is that of Minari's own remotes. Minari's transfers stay unused because
    they wrote outside their folder, accepted 300 MB for a file of 1 kB, waited more than 150 s for
    a silent server, and overwrote a published file.

    Attributes:
        timeout_s: longest time in seconds without a response.
        address: `hf://USER` or `gcp://BUCKET`.
        secret: the token, which no message may contain.
        variable: the environment variable that holds the token.
    """

    timeout_s = 30.0

    def __init__(self, address: str, secret: str) -> None:
        self.address, self.secret = address, secret
        scheme, _, self.name = address.partition("://")
        self.variable = TOKEN_VARIABLES[scheme]

    @abstractmethod
    def look(self, dataset_id: str) -> Mapping[str, RemoteFile]:
        """List the files of a dataset by name; all names are in `FILES`."""

    @abstractmethod
    def read(self, file: RemoteFile, write: Callable[[bytes], int]) -> None:
        """Pass the bytes of a file to `write` as they are received."""

    @abstractmethod
    def send(self, dataset_id: str, files: Mapping[str, LocalFile], advance: Advance) -> bool:
        """Add files to those that `look` listed last, without overwriting a file of a dataset.

        Adds the namespace files that Minari needs, too, and returns whether any was needed.
        """

    def check_names(self, dataset_id: str, names: Mapping[str, RemoteFile]) -> None:
        """Raise RemoteError unless every name is that of a file of a dataset.

        Minari's download does not check: it wrote the blob `ID/../../../evil` outside its folder.
        """
        for name in sorted(names.keys() - FILES):
            holds = f"{self.address}/{dataset_id} holds {name[:80]!r}"
            raise RemoteError(f"{holds}, which is not a file of an HDF5 dataset")

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Convert any failure of the remote to a RemoteError of one line, without the secret."""
        try:
            yield
        except LunarOfflineError:
            raise
        # the errors of the two HTTP stacks and their layers have no common class
        except Exception as error:
            while isinstance(error, RuntimeError) and isinstance(error.__cause__, Exception):
                error = error.__cause__  # unwrap errors such as "Error while uploading"
            raise RemoteError(f"{self.address}: {self._reason(error)}") from None

    def _reason(self, error: Exception) -> str:
        kind = type(error).__name__
        if kind == "DataCorruption":  # google-cloud-storage compares a crc32c
            return "a file was damaged in transfer; try again"
        status = getattr(getattr(error, "response", None), "status_code", None)
        if status is not None:
            return self.answered(status)
        if kind.endswith(("Timeout", "TimeoutError")):
            return f"no answer within {self.timeout_s:g} s; try again"
        text = (str(error).strip() or kind).splitlines()[0]
        if kind.startswith("Connect") or "Connection refused" in text:
            return "cannot be reached; check the network and the address"
        if type(error).__module__ == "google.auth.exceptions" and kind != "TransportError":
            return f"the key file was rejected; check {self.variable}"
        if self.secret:
            text = text.replace(self.secret, "***")
        return f"{text} ({kind}); try again"

    def answered(self, status: int) -> str:
        """Describe an HTTP status of 400 or more to the user."""
        refused = f": not allowed; check {self.variable}"
        changed = ": changed by another client in the meantime; try again"
        meaning = {401: refused, 403: refused, 404: ": not found, or private"}
        meaning |= {409: changed, 412: changed}
        return f"answered {status}{meaning.get(status, '; try again later')}"


def receive(remote: Remote, file: RemoteFile, advance: Advance, out: BinaryIO | None = None) -> str:
    """Download a file, and return its sha256; raise RemoteError unless it is as announced.

    The libraries' own downloads are not used: both accepted an endless answer for a file of 1 kB
    (300 MB in 2 s), and huggingface_hub kept a file with one changed byte.

    Args:
        remote: the remote that has the file.
        file: the file as listed.
        advance: is called with the number of bytes of each chunk.
        out: receives the bytes; None only hashes them.
    """
    sha256, git, received = hashlib.sha256(), hashlib.sha1(b"blob %d\0" % file.bytes), 0

    def write(chunk: bytes) -> int:
        nonlocal received
        received += len(chunk)
        if received > file.bytes:
            raise RemoteError(f"{file.where}: sent more than its {file.bytes} bytes")
        sha256.update(chunk)
        git.update(chunk)
        if out:
            try:
                out.write(chunk)
            except OSError as error:
                raise LunarOfflineError(f"{out.name}: {error.strerror}") from None
        advance(len(chunk))
        return len(chunk)

    remote.read(file, write)
    if received != file.bytes:
        raise RemoteError(f"{file.where}: {received} of {file.bytes} bytes received; try again")
    if file.digest not in ("", sha256.hexdigest(), git.hexdigest()):
        raise RemoteError(f"{file.where}: was damaged in transfer; try again")
    return sha256.hexdigest()


def difference(
    remote: Remote,
    there: Mapping[str, RemoteFile],
    local: Mapping[str, LocalFile],
    advance: Advance,
) -> str | None:
    """Download the listed files, and return the name of the first that differs; None if none does.

    A local file that is not listed is not a difference. Raises RemoteError if the remote fails. The
    comparison is needed: upload_folder, upload_from_filename and Minari overwrite any other file.
    """
    for name, file in there.items():
        if name not in local or file.bytes != local[name].bytes:
            return name
    for name, file in there.items():
        if receive(remote, file, advance) != local[name].sha256:
            return name
    return None

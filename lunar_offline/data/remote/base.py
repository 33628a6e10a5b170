"""What a remote holds and how its bytes are taken in: never more than announced, always hashed."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from lunar_offline.data.manifest import CARD, MANIFEST
from lunar_offline.errors import LunarOfflineError, RemoteError

DATA = "data/main_data.hdf5"
METADATA = "data/metadata.json"
NAMESPACE = "namespace_metadata.json"
TOKEN_VARIABLES = {"hf": "HF_TOKEN", "gcp": "GOOGLE_APPLICATION_CREDENTIALS"}
FILES = frozenset({DATA, METADATA, MANIFEST, CARD})

Content = Path | bytes
Advance = Callable[[int], None]


@dataclass(frozen=True)
class Place:
    """Where datasets are shared.

    Attributes:
        scheme: `hf` or `gcp`.
        name: the account or the bucket.
    """

    scheme: str
    name: str

    @property
    def token_variable(self) -> str:
        """The environment variable that its token comes from."""
        return TOKEN_VARIABLES[self.scheme]

    def __str__(self) -> str:
        return f"{self.scheme}://{self.name}"


@dataclass(frozen=True)
class RemoteFile:
    """A file of a dataset as its remote lists it.

    Attributes:
        where: for messages.
        bytes: its size.
        algorithm: of `digest`: sha256, md5, or git for a blob's id; empty where none is said.
        digest: in hexadecimal digits.
        handle: what the remote needs to send it.
    """

    where: str
    bytes: int
    algorithm: str
    digest: str
    handle: Any


@dataclass(frozen=True)
class Listing:
    """What a remote holds of one dataset.

    Attributes:
        files: by their names inside the dataset, none of them beyond `FILES`.
        state: the remote's own, to add files to exactly what was listed.
    """

    files: Mapping[str, RemoteFile]
    state: Any = None


class Remote(ABC):
    """A place that can be asked; every method raises RemoteError, in one line, when it fails.

    Files lie where Minari's own remotes put them and look for them. Minari's classes are not used
    for the transfer: they check no name and no size, wait for ever, and cannot complete half an
    upload.

    Attributes:
        place: which one.
        secret: never in a message.
        timeout_s: how long it may say nothing.
    """

    place: Place
    secret = ""
    timeout_s = 30.0

    @abstractmethod
    def look(self, dataset_id: str) -> Listing:
        """List what is there of a dataset; empty when nothing is."""

    @abstractmethod
    def read(self, file: RemoteFile, write: Callable[[bytes], int]) -> None:
        """Pass a file's bytes to `write`, as they come."""

    @abstractmethod
    def announcements(self, dataset_id: str, listing: Listing) -> Mapping[str, bytes]:
        """Return the namespace files that Minari still needs to find the dataset, by their path."""

    @abstractmethod
    def send(
        self,
        dataset_id: str,
        files: Mapping[str, Content],
        announcements: Mapping[str, bytes],
        listing: Listing,
        advance: Advance,
    ) -> None:
        """Add files to what `listing` holds; overwrite no file of a dataset."""

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Turn whatever goes wrong with the remote into one line without the secret."""
        try:
            yield
        except LunarOfflineError:
            raise
        # two HTTP stacks and their layers meet here, and their errors share no class
        except Exception as error:
            while isinstance(error, RuntimeError) and isinstance(error.__cause__, Exception):
                error = error.__cause__  # such as "Error while uploading"
            raise RemoteError(f"{self.place}: {self._reason(error)}") from None

    def _reason(self, error: Exception) -> str:
        status = getattr(getattr(error, "response", None), "status_code", None)
        if status is not None:
            return self.answered(status)
        kind = type(error).__name__
        if kind.endswith(("Timeout", "TimeoutError")):
            return f"no answer within {self.timeout_s:g} s; try again"
        text = (str(error).strip() or kind).splitlines()[0]
        if kind.startswith("Connect") or "Connection refused" in text:
            return "cannot be reached; check the network and the address"
        if self.secret:
            text = text.replace(self.secret, "***")
        return f"{text} ({kind}); try again"

    def answered(self, status: int) -> str:
        """Say what an HTTP status of 400 and more means to the user."""
        if status in (401, 403):
            return f"answered {status}: not allowed; check {self.place.token_variable}"
        if status == 404:
            return "answered 404: not there, or private"
        if status in (409, 412):
            return f"answered {status}: changed by someone else meanwhile; try again"
        return f"answered {status}; try again later"


def size(content: Content) -> int:
    """Return how many bytes a content has."""
    return len(content) if isinstance(content, bytes) else content.stat().st_size


def check_name(where: str, name: str) -> None:
    """Raise RemoteError unless a name is one of a dataset's; so none leads out of its folder."""
    if name not in FILES:
        raise RemoteError(f"{where} holds {name[:80]!r}, which is no file of an HDF5 dataset")


class _Sink:
    """Hashes, counts and passes on what comes, and stops it at the announced size."""

    def __init__(self, file: RemoteFile, out: BinaryIO | None, advance: Advance) -> None:
        self._file, self._out, self._advance = file, out, advance
        self._bytes = 0
        self._sha256 = hashlib.sha256()
        self._announced = None
        if file.algorithm == "git":
            self._announced = hashlib.sha1(b"blob %d\0" % file.bytes)
        elif file.algorithm:
            self._announced = hashlib.new(file.algorithm)

    def write(self, chunk: bytes) -> int:
        self._bytes += len(chunk)
        if self._bytes > self._file.bytes:
            raise RemoteError(f"{self._file.where}: sent more than its {self._file.bytes} bytes")
        self._sha256.update(chunk)
        if self._announced:
            self._announced.update(chunk)
        if self._out:
            try:
                self._out.write(chunk)
            except OSError as error:
                raise LunarOfflineError(f"{self._out.name}: {error.strerror}") from None
        self._advance(len(chunk))
        return len(chunk)

    def finish(self) -> str:
        if self._bytes != self._file.bytes:
            raise RemoteError(
                f"{self._file.where}: {self._bytes} of {self._file.bytes} bytes came; try again"
            )
        if self._announced and self._announced.hexdigest() != self._file.digest:
            raise RemoteError(f"{self._file.where}: was damaged on its way; try again")
        return self._sha256.hexdigest()


def receive(
    remote: Remote,
    file: RemoteFile,
    out: BinaryIO | None = None,
    advance: Advance = lambda _: None,
) -> str:
    """Read a file from a remote, whole and as announced.

    Args:
        remote: where it is.
        file: as listed.
        out: takes the bytes; None only hashes them.
        advance: told of the bytes as they come.

    Returns:
        The sha256 of what came.

    Raises:
        RemoteError: it did not come, not whole, or not as announced.
    """
    sink = _Sink(file, out, advance)
    remote.read(file, sink.write)
    return sink.finish()

"""A Google Cloud Storage bucket as Minari lays it out: one blob per file, named ID/FILE."""

import base64
import logging
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

from google.api_core.exceptions import GoogleAPICallError
from google.auth.exceptions import GoogleAuthError, TransportError
from google.cloud import storage

from lunar_offline.data.remote.base import (
    FILES,
    METADATA,
    NAMESPACE,
    Advance,
    Content,
    Listing,
    Place,
    Remote,
    RemoteFile,
    check_name,
    size,
)
from lunar_offline.errors import UsageError


class Bucket(Remote):
    """See Remote; the secret is the path of a service account's key file.

    Raises:
        UsageError: the secret is no such file.
    """

    def __init__(self, place: Place, secret: str) -> None:
        self.place = place
        # it warns of every try of a look-up beside ours that google-auth makes in a thread
        logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
        try:
            client = (
                storage.Client.from_service_account_json(secret)
                if secret
                else storage.Client.create_anonymous_client()
            )
        except (OSError, ValueError) as error:  # never with the file's content
            raise UsageError(
                f"{place.token_variable}: {secret} is no service account's key file "
                f"({type(error).__name__})"
            ) from None
        self._bucket = client.bucket(place.name)
        # no retries: whoever waits wants to know, and the same command goes on
        self._limits: dict[str, Any] = {"timeout": self.timeout_s, "retry": None}

    def look(self, dataset_id: str) -> Listing:
        """See Remote."""
        where, files = f"{self.place}/{dataset_id}", {}
        with self.asking():
            # one more than a dataset has: a name that is none turns up before a listing gets long
            blobs = self._bucket.list_blobs(
                prefix=f"{dataset_id}/", max_results=len(FILES) + 1, **self._limits
            )
            for blob in blobs:
                name = blob.name.removeprefix(f"{dataset_id}/")
                check_name(where, name)
                digest = base64.b64decode(blob.md5_hash or "").hex()
                files[name] = RemoteFile(
                    f"{where}/{name}", int(blob.size), "md5" if digest else "", digest, blob
                )
        return Listing(files)

    def read(self, file: RemoteFile, write: Callable[[bytes], int]) -> None:
        """See Remote."""
        with self.asking():
            file.handle.download_to_file(SimpleNamespace(write=write), **self._limits)

    def announcements(self, dataset_id: str, listing: Listing) -> Mapping[str, bytes]:
        """See Remote."""
        parts = dataset_id.split("/")[:-1]
        paths = ["/".join([*parts[: depth + 1], NAMESPACE]) for depth in range(len(parts))]
        with self.asking():
            return {p: b"{}" for p in paths if not self._bucket.blob(p).exists(**self._limits)}

    def send(
        self,
        dataset_id: str,
        files: Mapping[str, Content],
        announcements: Mapping[str, bytes],
        listing: Listing,
        advance: Advance,
    ) -> None:
        """See Remote."""
        with self.asking():
            for path, text in announcements.items():
                self._put(path, text)
            # Minari lists a dataset by its metadata, which therefore comes last
            for name in sorted(files, key=lambda name: name == METADATA):
                self._put(f"{dataset_id}/{name}", files[name])
                advance(size(files[name]))

    def _put(self, name: str, content: Content) -> None:
        blob = self._bucket.blob(name)
        # the bucket itself refuses to overwrite
        limits: dict[str, Any] = {**self._limits, "if_generation_match": 0}
        if isinstance(content, bytes):
            blob.upload_from_string(content, content_type="application/octet-stream", **limits)
        else:
            blob.upload_from_filename(str(content), **limits)

    def _reason(self, error: Exception) -> str:
        if isinstance(error, GoogleAPICallError) and error.code:
            return self.answered(int(error.code))
        if isinstance(error, GoogleAuthError) and not isinstance(error, TransportError):
            return f"the key file was not accepted; check {self.place.token_variable}"
        return super()._reason(error)

"""A Google Cloud Storage bucket in Minari's layout: one blob per file, named ID/FILE."""

import logging
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

from google.cloud import storage

from lunar_offline.datasets.hub.remote import (
    FILES,
    METADATA,
    NAMESPACE,
    Advance,
    LocalFile,
    Remote,
    RemoteFile,
)
from lunar_offline.errors import UsageError


class Bucket(Remote):
    """See Remote; the secret is the path of the key file of a service account.

    Raises:
        UsageError: the secret is not the path of such a file.
    """

    def __init__(self, address: str, secret: str) -> None:
        super().__init__(address, secret)
        # it warns about each attempt of a request that google-auth makes in another thread
        logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
        try:
            client = (
                storage.Client.from_service_account_json(secret)
                if secret
                else storage.Client.create_anonymous_client()
            )
        except (OSError, ValueError) as error:  # the message must not contain the file's content
            raise UsageError(
                f"{self.variable}: {secret} is not the key file of a service account "
                f"({type(error).__name__})"
            ) from None
        self._bucket = client.bucket(self.name)
        # no retries, which waited 120 s for a silent server; the same command continues
        self._limits: dict[str, Any] = {"timeout": self.timeout_s, "retry": None}

    def look(self, dataset_id: str) -> Mapping[str, RemoteFile]:
        """See Remote."""
        folder = f"{dataset_id}/"
        with self.asking():
            # one more than a dataset's files: enough to find an unexpected file in a long listing
            limits: dict[str, Any] = {"max_results": len(FILES) + 1, **self._limits}
            files = {
                b.name.removeprefix(folder): RemoteFile(f"{self.address}/{b.name}", int(b.size), b)
                for b in self._bucket.list_blobs(prefix=folder, **limits)
            }
        self.check_names(dataset_id, files)
        return files

    def read(self, file: RemoteFile, write: Callable[[bytes], int]) -> None:
        """See Remote. The library compares the crc32c that the bucket sends."""
        with self.asking():
            file.handle.download_to_file(SimpleNamespace(write=write), **self._limits)

    def send(self, dataset_id: str, files: Mapping[str, LocalFile], advance: Advance) -> bool:
        """See Remote."""
        parts = dataset_id.split("/")[:-1]
        paths = ["/".join([*parts[: depth + 1], NAMESPACE]) for depth in range(len(parts))]
        with self.asking():
            missing = [p for p in paths if not self._bucket.blob(p).exists(**self._limits)]
            for path in missing:
                self._put(path, b"{}")
            # Minari lists a dataset as soon as its metadata exists, so that file is sent last
            for name in sorted(files, key=lambda name: name == METADATA):
                self._put(f"{dataset_id}/{name}", files[name].content)
                advance(files[name].bytes)
        return bool(missing)

    def _put(self, name: str, content: Any) -> None:
        blob = self._bucket.blob(name)
        # generation 0: the bucket refuses to overwrite a blob; the library's default overwrote one
        limits: dict[str, Any] = {"if_generation_match": 0, **self._limits}
        if isinstance(content, bytes):
            blob.upload_from_string(content, content_type="application/octet-stream", **limits)
        else:
            blob.upload_from_filename(str(content), **limits)

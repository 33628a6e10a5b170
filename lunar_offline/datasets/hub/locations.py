"""Addresses of remotes, and the client of each."""

import os
import re

from lunar_offline.datasets.hub.remote import TOKEN_VARIABLES, Remote
from lunar_offline.errors import UsageError


def remote_address(remote: str | None) -> str:
    """Return a remote in Minari's notation; raise UsageError if it is missing or malformed."""
    example = "hf://USER or gcp://BUCKET"
    if not remote:
        raise UsageError(f"no remote; give --remote {example}, or set MINARI_REMOTE")
    if not re.fullmatch(r"(hf|gcp)://[A-Za-z0-9][-_.A-Za-z0-9]{0,200}", remote):
        raise UsageError(f"{remote!r} is not a remote; give {example}")
    return remote


def open_remote(remote: str, *, token_needed: bool) -> Remote:
    """Return a client with the token of the environment; without one, its requests are anonymous.

    Raises:
        UsageError: a needed token is missing, the token is malformed or not a key file, or the
            client library is not installed.
    """
    scheme, _, _ = remote.partition("://")
    variable = TOKEN_VARIABLES[scheme]
    secret = os.environ.get(variable, "").strip()
    if token_needed and not secret:
        what = "a token" if scheme == "hf" else "the path of a service account's key file"
        raise UsageError(f"to send to {remote}, set the environment variable {variable} to {what}")
    if scheme == "hf" and not re.fullmatch(r"[!-~]*", secret):
        raise UsageError(f"{variable} has characters that are invalid in a token")
    try:
        if scheme == "hf":
            from lunar_offline.datasets.hub.hugging_face import Hub as Client
        else:
            from lunar_offline.datasets.hub.google_cloud import Bucket as Client
    except ImportError:
        raise UsageError(
            "sharing needs an extra: pip install 'lunar-offline[share]' -c constraints.txt"
        ) from None
    return Client(remote, secret)

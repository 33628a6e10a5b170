"""Remotes for datasets: a Hugging Face account or a Google Cloud Storage bucket."""

import os
import re

from lunar_offline.data.remote.base import Place, Remote
from lunar_offline.errors import UsageError

_PLACE = re.compile(r"(?P<scheme>hf|gcp)://(?P<name>[A-Za-z0-9][-_.A-Za-z0-9]{0,200})")


def parse_place(remote: str | None) -> Place:
    """Read a remote as Minari writes it, `hf://USER` or `gcp://BUCKET`.

    Raises:
        UsageError: there is none, or it is neither.
    """
    example = "hf://USER or gcp://BUCKET"
    if not remote:
        raise UsageError(f"no remote; give --remote {example}, or set MINARI_REMOTE to it")
    match = _PLACE.fullmatch(remote)
    if not match:
        raise UsageError(f"{remote!r} is no remote; one looks like {example}")
    return Place(match["scheme"], match["name"])


def token(place: Place, *, needed: bool) -> str:
    """Return the token of a remote from the environment, empty where there is none.

    For gcp it is the path of a service account's key file.

    Raises:
        UsageError: there is none although it is needed, or it cannot be one.
    """
    variable = place.token_variable
    found = os.environ.get(variable, "").strip()
    if needed and not found:
        what = "a token" if place.scheme == "hf" else "the path of a service account's key file"
        raise UsageError(f"to send to {place}, set {variable} to {what}; it is read nowhere else")
    if place.scheme == "hf" and not re.fullmatch(r"[!-~]*", found):
        raise UsageError(f"{variable} holds characters that no token has")
    return found


def open_remote(place: Place, secret: str) -> Remote:
    """Return a remote that can be asked; without a secret it is asked as anyone.

    Raises:
        UsageError: its client library is not installed, or the secret is no key file.
    """
    try:
        if place.scheme == "hf":
            from lunar_offline.data.remote.hub import Hub

            return Hub(place, secret)
        from lunar_offline.data.remote.bucket import Bucket
    except ImportError:
        raise UsageError(
            "sharing needs an extra: pip install 'lunar-offline[share]' -c constraints.txt"
        ) from None
    return Bucket(place, secret)

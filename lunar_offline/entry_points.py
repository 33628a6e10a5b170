"""The entry points of installed packages, which offer envs and algorithms of their own."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from lunar_offline.errors import LunarOfflineWarning

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint


def entry_points_of(group: str) -> tuple[EntryPoint, ...]:
    """Return the entry points of a group."""
    from importlib.metadata import entry_points  # a slow import

    return tuple(entry_points(group=group))


def loaded(kind: str, entry: EntryPoint) -> tuple[object] | None:
    """Return what an entry point refers to; None, after a warning, if it cannot be loaded.

    Args:
        kind: `env` or `algorithm`, for the warning.
        entry: the entry point.
    """
    try:
        return (entry.load(),)
    except Exception as error:  # code of others may raise anything
        reason = str(error).split("\n", 1)[0]
        skip(kind, entry, f"{type(error).__name__}: {reason:.200}")
        return None


def skip(kind: str, entry: EntryPoint, reason: str) -> None:
    """Warn that an entry point is skipped."""
    message = f"{kind} {entry.name!r} of {distribution(entry)} is skipped: {reason}"
    warnings.warn(message, LunarOfflineWarning, stacklevel=2)


def distribution(entry: EntryPoint) -> str:
    """Return the name of the distribution that has an entry point."""
    return entry.dist.name if entry.dist else "an unknown distribution"

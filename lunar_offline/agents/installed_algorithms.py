"""The algorithms of installed packages, found through entry points.

An entry point has the name of its algorithm, so that names are known without an import of its code.
Nothing here runs until a name is asked for that this package does not have: reading the entry
points takes some 50 ms, and their code usually imports torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING

from lunar_offline.agents.check_algorithm import check_algorithm
from lunar_offline.agents.learner import Algorithm
from lunar_offline.entry_points import distribution, entry_points_of, loaded, skip
from lunar_offline.errors import UsageError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "lunar_offline.algorithms"


@cache
def _entry_points() -> tuple[EntryPoint, ...]:
    return entry_points_of(GROUP)


def names() -> list[str]:
    """Return the names of the installed algorithms, which may be broken."""
    return [entry.name for entry in _entry_points()]


def algorithms(known: Mapping[str, Algorithm]) -> dict[str, Algorithm]:
    """Return the installed algorithms by name; skip an invalid one with a warning.

    Args:
        known: the algorithms by name that are registered already. An installed one with such a name
            is skipped, unless it is the same one.
    """
    found: dict[str, Algorithm] = {}
    for entry in _entry_points():
        loaded = _loaded(entry)
        if loaded is None:
            continue
        try:
            algorithm = check_algorithm(loaded[0], known)
            if algorithm.name != entry.name:
                raise UsageError(f"its own name is {algorithm.name!r:.80}")
            if known.get(entry.name, algorithm) != algorithm:
                raise UsageError("the name is taken")
        except UsageError as error:
            _skip(entry, str(error))
        else:
            found[entry.name] = algorithm
    return found


@cache
def _loaded(entry: EntryPoint) -> tuple[object] | None:
    """Return what an entry point refers to; None, after a warning, if it cannot be loaded."""
    others = [e for e in _entry_points() if e.name == entry.name and e is not entry]
    if others:
        _skip(entry, f"{distribution(others[0])} has one with this name too")
        return None
    return loaded("algorithm", entry)


@cache  # once for each reason
def _skip(entry: EntryPoint, reason: str) -> None:
    skip("algorithm", entry, reason)

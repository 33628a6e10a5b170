"""The interfaces of trackers, and what an adapter receives about a run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from lunar_offline.training.trackers.scalars import Point

PROJECT = "lunar-offline"


class Adapter(Protocol):
    """Passes the numbers of a run to an experiment tracker.

    A module of this folder with an adapter has `connect(run: TrackedRun) -> Adapter`.

    Attributes:
        run_id: the tracker's own id of the run.
    """

    run_id: str

    def log(self, points: Sequence[Point]) -> None:
        """Pass on points, in the order of the run."""
        ...

    def close(self, *, finished: bool) -> None:
        """End the connection; `finished` is whether the training ended without an error."""
        ...


@dataclass(frozen=True)
class TrackedRun:
    """A run, as an adapter sees it.

    Attributes:
        name: name of the run directory.
        folder: absolute path of the run directory.
        config: plain values by key of config.toml, with dots for tables.
        run_id: the tracker's own id of the run; empty at the first connection.
    """

    name: str
    folder: Path
    config: Mapping[str, str | int | float | bool]
    run_id: str

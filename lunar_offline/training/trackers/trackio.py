"""trackio."""

import os
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from lunar_offline.errors import RefusedError
from lunar_offline.training.trackers.protocol import PROJECT, TrackedRun
from lunar_offline.training.trackers.scalars import Point


class Trackio:
    """A run of trackio; see `Adapter`.

    Its database is in TRACKIO_DIR, else in the run directory.
    """

    def __init__(self, run: TrackedRun) -> None:
        os.environ.setdefault("TRACKIO_DIR", str(run.folder / "trackio"))  # read at the import
        trackio: Any = import_module("trackio")
        self._run = trackio.init(
            project=os.environ.get("TRACKIO_PROJECT", PROJECT),
            name=run.name,
            config=dict(run.config),
            resume="must" if run.run_id else "never",
            embed=False,
        )
        self.run_id = str(self._run.id)
        if run.run_id not in ("", self.run_id):  # trackio finds a run by its name alone
            raise RefusedError(f"another run named {run.name} has started since")

    def log(self, points: Sequence[Point]) -> None:
        """See Adapter."""
        for point in points:
            self._run.log(dict(point.values), step=point.update_step)

    def close(self, *, finished: bool) -> None:
        """See Adapter."""
        self._run.finish()


connect = Trackio

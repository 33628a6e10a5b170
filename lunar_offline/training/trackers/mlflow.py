"""MLflow."""

import os
import time
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from lunar_offline.training.trackers.protocol import PROJECT, TrackedRun
from lunar_offline.training.trackers.scalars import Point

MOST_METRICS = 1_000  # of a request
MOST_CHARACTERS = 500  # of a parameter


class MLflow:
    """A run of MLflow; see `Adapter`.

    The store is that of MLFLOW_TRACKING_URI, else a SQLite file in the run directory.
    """

    def __init__(self, run: TrackedRun) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        self._mlflow: Any = import_module("mlflow")
        folder, uri, artifacts = run.folder / "mlflow", os.environ.get("MLFLOW_TRACKING_URI"), None
        if not uri:
            folder.mkdir(exist_ok=True)
            _write_fast()
            uri, artifacts = f"sqlite:///{folder}/mlflow.db", (folder / "artifacts").as_uri()
        self._client = self._mlflow.MlflowClient(tracking_uri=uri)
        if run.run_id:
            self.run_id = run.run_id
            self._client.update_run(self.run_id, status="RUNNING")
            return
        created = self._client.create_run(self._experiment(artifacts), run_name=run.name)
        self.run_id = created.info.run_id
        params = [
            self._mlflow.entities.Param(key, str(value)[:MOST_CHARACTERS])
            for key, value in run.config.items()
        ]
        self._client.log_batch(self.run_id, params=params)

    def _experiment(self, artifacts: str | None) -> str:
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
        found = self._client.get_experiment_by_name(name)
        if found is None:
            try:
                return self._client.create_experiment(name, artifact_location=artifacts)
            except self._mlflow.MlflowException:  # another run has just created it
                found = self._client.get_experiment_by_name(name)
                if found is None:
                    raise
        return found.experiment_id

    def log(self, points: Sequence[Point]) -> None:
        """See Adapter."""
        metric = self._mlflow.entities.Metric
        now = int(time.time() * 1000)
        metrics = [
            metric(name, value, now + number, point.update_step)  # their order at an equal step
            for number, point in enumerate(points)
            for name, value in point.values.items()
        ]
        for first in range(0, len(metrics), MOST_METRICS):
            self._client.log_batch(self.run_id, metrics=metrics[first : first + MOST_METRICS])

    def close(self, *, finished: bool) -> None:
        """See Adapter."""
        self._client.set_terminated(self.run_id, status="FINISHED" if finished else "KILLED")


def _write_fast() -> None:
    """Let SQLite skip fsync: this is a mirror, and MLflow commits a hundred times to make it."""
    sqlalchemy: Any = import_module("sqlalchemy")
    sqlalchemy.event.listen(
        sqlalchemy.Engine, "connect", lambda dbapi, _: dbapi.execute("PRAGMA synchronous = OFF")
    )


connect = MLflow

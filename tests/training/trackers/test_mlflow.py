"""MLflow for real, in its local store."""

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from lunar_offline.training.run_folder import RunFolder

pytest.importorskip("mlflow")
pytest.importorskip("sqlalchemy")


def test_a_run_is_stored_in_its_directory_and_resumed(
    run: Path, mirror: Callable[..., None]
) -> None:
    records = RunFolder.open(run).metrics()
    mirror(run, "mlflow")
    mirror(run, "mlflow")
    state = json.loads((run / "trackers" / "mlflow.json").read_text())
    database = sqlite3.connect(run / "mlflow" / "mlflow.db")
    try:
        runs = database.execute("SELECT run_uuid, name, status FROM runs").fetchall()
        (experiment,) = database.execute("SELECT name FROM experiments WHERE name != 'Default'")
        params = dict(database.execute("SELECT key, value FROM params"))
        points = set(database.execute("SELECT key, step, value FROM metrics"))
        steps = database.execute(
            "SELECT step FROM metrics WHERE key = 'env_step' ORDER BY timestamp"
        ).fetchall()
    finally:
        database.close()
    assert runs == [(state["run_id"], "my-run", "FINISHED")]
    assert experiment == ("lunar-offline",)
    assert (params["online_episodes"], params["agent.hidden"]) == ("1", "[8]")
    wanted = {
        (name, record.update_step, float(value))
        for record in records
        for name, value in record.to_dict().items()
        if not isinstance(value, str) and name != "update_step"
    }
    last = records[-1].update_step
    mean = json.loads((run / "evaluation.json").read_text())["last"]["mean"]
    assert {point for point in points if not point[0].startswith("evaluation")} == wanted
    assert ("evaluation_last_mean", last, mean) in points
    assert steps == [(record.update_step,) for record in records]  # none is there twice
    assert not Path("mlruns").exists()
    assert not Path("mlflow.db").exists()

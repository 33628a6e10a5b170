"""Runs to mirror, and a stub of trackio that a mirror's process imports."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from stub_trackio import STUB

from lunar_offline.training.run_folder import RunFolder
from lunar_offline.training.trackers.run_trackers import recorded_trackers


@pytest.fixture(autouse=True)
def _no_settings_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in list(os.environ):
        if variable.startswith(("WANDB_", "MLFLOW_", "TRACKIO_")):
            monkeypatch.delenv(variable)


@pytest.fixture
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a stub of trackio where this process and the mirrors' processes find it first."""
    folder = tmp_path / "stub"
    folder.mkdir()
    (folder / "trackio.py").write_text(STUB)
    before = os.environ.get("PYTHONPATH", "")
    monkeypatch.setenv("PYTHONPATH", f"{folder}{os.pathsep}{before}" if before else str(folder))
    monkeypatch.syspath_prepend(folder)


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A copy of a finished run that has used no tracker."""
    copy = tmp_path / "my-run"
    shutil.copytree(trained, copy, ignore=shutil.ignore_patterns("tensorboard"))
    return copy


@pytest.fixture
def mirror() -> Callable[..., None]:
    """Pass a finished run to trackers, those of its last training or others."""

    def finished(run: Path, *names: str) -> None:
        folder = RunFolder(run, names or recorded_trackers(run))
        records = folder.metrics()
        summary = json.loads((run / "evaluation.json").read_text())
        with folder.trackers.open():
            folder.trackers.start(records)
            folder.trackers.evaluated(records[-1].update_step, summary, again=False)

    return finished

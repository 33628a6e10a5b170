"""What a mirror passes on, in this process."""

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from lunar_offline.errors import RefusedError
from lunar_offline.training.metrics import IntervalRecord
from lunar_offline.training.trackers import mirror_process
from lunar_offline.training.trackers.json_lines import JSONLines
from lunar_offline.training.trackers.mirror_process import Mirror, State, read_state
from lunar_offline.training.trackers.protocol import TrackedRun
from lunar_offline.training.trackers.scalars import Point


class Adapter:
    """Keeps the points of all connections; `fails` makes the next call fail."""

    points: list[Point]
    fails = False

    def __init__(self, run: TrackedRun) -> None:
        self.run_id = run.run_id or "first"

    def log(self, points: Sequence[Point]) -> None:
        if Adapter.fails:
            Adapter.fails = False
            raise OSError("no network")
        Adapter.points += points

    def close(self, *, finished: bool) -> None:
        pass


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run directory without a metrics.jsonl."""
    Adapter.points, Adapter.fails = [], False
    module = SimpleNamespace(connect=Adapter)
    monkeypatch.setattr(mirror_process, "import_module", lambda name: module)
    folder = tmp_path / "run"
    (folder / "trackers").mkdir(parents=True)
    (folder / "config.toml").write_text("seed = 1\n[agent]\nhidden = [8]\n")
    return folder


def log(folder: Path, *steps: int) -> None:
    lines = JSONLines(folder / "metrics.jsonl")
    for step in steps:
        lines.log(IntervalRecord(step, 0, {"td_loss": 0.5}, 1.0))


def seen() -> list[tuple[int, int]]:
    return [(point.number, point.update_step) for point in Adapter.points]


def test_complete_lines_are_passed_on_as_they_come(folder: Path) -> None:
    mirror = Mirror("wandb", folder)
    mirror.follow()
    assert seen() == []
    log(folder, 10, 20)
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"kind": "interval", "update_')
    mirror.follow()
    mirror.follow()
    assert seen() == [(0, 10), (1, 20)]
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('step": 30, "env_step": 0, "updates_per_s": 2.0}\n')
    mirror.follow()
    assert Adapter.points[2] == Point(2, 30, {"env_step": 0.0, "updates_per_s": 2.0})
    assert read_state(folder / "trackers" / "wandb.json") == State("first", 3, False)


def test_what_a_resumed_run_repeats_is_skipped(folder: Path) -> None:
    log(folder, 10, 20, 30)
    Mirror("wandb", folder).follow()
    JSONLines(folder / "metrics.jsonl").truncate(0)
    again = Mirror("wandb", folder)
    for step in (10, 20, 30, 40):
        log(folder, step)
        again.follow()
    assert seen() == [(0, 10), (1, 20), (2, 30), (3, 40)]


def test_what_failed_is_passed_on_again(folder: Path) -> None:
    log(folder, 10)
    mirror = Mirror("wandb", folder)
    mirror.follow()
    log(folder, 20)
    Adapter.fails = True
    with pytest.raises(OSError, match="no network"):
        mirror.follow()
    assert seen() == [(0, 10)]
    Mirror("wandb", folder).follow()
    assert seen() == [(0, 10), (1, 20)]


def test_a_kill_while_points_are_passed_on_repeats_none(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log(folder, 10)
    stored: list[State] = []
    path = folder / "trackers" / "wandb.json"
    monkeypatch.setattr(Adapter, "log", lambda self, points: stored.append(read_state(path)))
    Mirror("wandb", folder).follow()
    assert stored == [State("first", 1, False)]


def test_the_evaluation_is_passed_on_once(folder: Path) -> None:
    log(folder, 10)
    (folder / "evaluation.json").write_text('{"best": {"mean": 3.0}, "last": {"mean": 2.0}}')
    for _ in range(2):
        mirror = Mirror("wandb", folder)
        mirror.follow()
        mirror.evaluate()
    assert Adapter.points[1:] == [
        Point(1, 10, {"evaluation_best_mean": 3.0, "evaluation_last_mean": 2.0})
    ]


@pytest.mark.parametrize(
    "values",
    [
        [],
        {"run_id": "x", "lines": 1},
        {"run_id": "x", "lines": -1, "evaluated": False},
        {"run_id": "x", "lines": True, "evaluated": False},
        {"run_id": 5, "lines": 1, "evaluated": False},
    ],
)
def test_a_damaged_state_is_refused(tmp_path: Path, values: object) -> None:
    (tmp_path / "x.json").write_text(json.dumps(values))
    with pytest.raises(RefusedError):
        read_state(tmp_path / "x.json")

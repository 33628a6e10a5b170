import json
import math
import os
from pathlib import Path

import pytest

from lunar_offline.training.metrics import (
    EpisodeRecord,
    IntervalRecord,
    Record,
    ValidationRecord,
    read_metrics,
)
from lunar_offline.training.trackers.json_lines import JSONLines

INTERVAL = IntervalRecord(1_000, 0, {"td_loss": 0.5, "q_mean": -3.0}, 812.5)
EPISODE = EpisodeRecord(1_100, 340, 3, -81.25, 97, "crashed")
VALIDATION = ValidationRecord(1_200, 500, 4, -12.5, -300.0, 88.5, 0.75)
RECORDS: list[Record] = [INTERVAL, EPISODE, VALIDATION]


def test_json_lines_append(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    lines = JSONLines(path)
    assert lines.size() == 0
    for record in RECORDS[:2]:
        lines.log(record)
    JSONLines(path).log(RECORDS[2])  # another process goes on
    assert read_metrics(path, None) == RECORDS
    text = path.read_text()
    assert text.count("\n") == 3
    assert json.loads(text.splitlines()[1]) == EPISODE.to_dict()
    assert lines.size() == path.stat().st_size == len(text)
    lines.sync()
    assert path.read_text() == text


def test_json_lines_truncate(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    lines = JSONLines(path)
    lines.truncate(0)
    assert not path.exists()
    lines.log(INTERVAL)
    size = lines.size()
    lines.log(EPISODE)
    lines.truncate(size)
    assert read_metrics(path, None) == [INTERVAL]
    lines.log(VALIDATION)
    assert read_metrics(path, None) == [INTERVAL, VALIDATION]


def test_json_lines_hold_no_nan(tmp_path: Path) -> None:
    lines = JSONLines(tmp_path / "metrics.jsonl")
    with pytest.raises(ValueError, match="not JSON compliant"):
        lines.log(IntervalRecord(1, 0, {"td_loss": math.nan}, 1.0))
    assert lines.size() == 0


def test_json_lines_do_not_follow_a_link(tmp_path: Path) -> None:
    precious, path = tmp_path / "precious", tmp_path / "metrics.jsonl"
    precious.write_text("mine")
    path.symlink_to(precious)
    lines = JSONLines(path)
    for write in (lambda: lines.log(EPISODE), lambda: lines.truncate(0), lines.sync):
        with pytest.raises(OSError, match="symbolic links") as error:
            write()
        assert error.value.filename == str(path)
    assert precious.read_text() == "mine"
    path.unlink()
    path.symlink_to(tmp_path / "none")
    with pytest.raises(OSError, match="symbolic links"):
        lines.log(EPISODE)
    assert not (tmp_path / "none").exists()


def test_json_lines_do_not_wait_for_a_reader(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    os.mkfifo(path)
    with pytest.raises(OSError, match="No such device or address"):
        JSONLines(path).log(EPISODE)

import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.tensorflow_stub.errors import OutOfRangeError
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import PyRecordReader_New

from lunar_offline.training.metrics import (
    EpisodeRecord,
    IntervalRecord,
    Record,
    ValidationRecord,
    read_metrics,
)
from lunar_offline.training.trackers import JSONLines, TensorBoard, Tracker

INTERVAL = IntervalRecord(1_000, 0, {"td_loss": 0.5, "q_mean": -3.0}, 812.5)
EPISODE = EpisodeRecord(1_100, 340, 3, -81.25, 97, "crashed")
VALIDATION = ValidationRecord(1_200, 500, 4, -12.5, -300.0, 88.5, 0.75)
RECORDS: list[Record] = [INTERVAL, EPISODE, VALIDATION]

TRACKERS: list[tuple[Callable[[Path], Tracker], str]] = [
    (JSONLines, "metrics.jsonl"),
    (TensorBoard, "tensorboard"),
]


def events(folder: Path) -> list[Any]:
    """Return the events of the one event file of a folder."""
    (path,) = folder.iterdir()
    reader, found = PyRecordReader_New(str(path)), []
    while True:
        try:
            reader.GetNext()
        except OutOfRangeError:  # nothing follows
            return found
        found.append(Event.FromString(reader.record()))


@pytest.mark.parametrize(("make", "name"), TRACKERS)
def test_trackers_follow_the_protocol(
    tmp_path: Path, make: Callable[[Path], Tracker], name: str
) -> None:
    tracker: Tracker = make(tmp_path / name)
    tracker.close()  # of one that has logged nothing
    assert not (tmp_path / name).exists()
    for record in RECORDS:
        tracker.log(record)
    assert (tmp_path / name).exists()
    tracker.close()
    tracker.close()


@pytest.mark.parametrize(("make", "name"), TRACKERS)
def test_a_closed_tracker_can_go_on(
    tmp_path: Path, make: Callable[[Path], Tracker], name: str
) -> None:
    tracker: Tracker = make(tmp_path / name)
    tracker.log(INTERVAL)
    tracker.close()
    tracker.log(EPISODE)
    tracker.close()
    if name == "metrics.jsonl":
        assert read_metrics(tmp_path / name, None) == [INTERVAL, EPISODE]
    else:
        assert len(list((tmp_path / name).iterdir())) == 2


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


def test_tensorboard_has_each_number_of_each_record(tmp_path: Path) -> None:
    board = TensorBoard(tmp_path / "tensorboard")
    for record in RECORDS:
        board.log(record)
    board.close()
    first, start, *rest = events(tmp_path / "tensorboard")
    assert first.file_version == "brain.Event:2"
    assert start.session_log.status == start.session_log.START
    assert start.step == INTERVAL.update_step
    assert [event.step for event in rest] == [1_000, 1_100, 1_200]
    scalars = [{v.tag: v.simple_value for v in event.summary.value} for event in rest]
    assert scalars == [
        {"env_step": 0.0, "td_loss": 0.5, "q_mean": -3.0, "updates_per_s": 812.5},
        {"env_step": 340.0, "episode": 3.0, "episode_return": -81.25, "length": 97.0},
        {
            "env_step": 500.0,
            "episode": 4.0,
            "validation_mean": -12.5,
            "validation_min": -300.0,
            "validation_frames": 88.5,
            "validation_crash_rate": 0.75,
        },
    ]


def test_tensorboard_is_written_as_it_comes(tmp_path: Path) -> None:
    board = TensorBoard(tmp_path / "tensorboard")
    board.log(INTERVAL)
    assert len(events(tmp_path / "tensorboard")) == 3
    board.log(EPISODE)
    assert len(events(tmp_path / "tensorboard")) == 4
    board.close()

from pathlib import Path
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.tensorflow_stub.errors import OutOfRangeError
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import PyRecordReader_New

from lunar_offline.training.metrics import EpisodeRecord, IntervalRecord, Record, ValidationRecord
from lunar_offline.training.trackers.tensorboard import TensorBoard

INTERVAL = IntervalRecord(1_000, 0, {"td_loss": 0.5, "q_mean": -3.0}, 812.5)
EPISODE = EpisodeRecord(1_100, 340, 3, -81.25, 97, "crashed")
VALIDATION = ValidationRecord(1_200, 500, 4, -12.5, -300.0, 88.5, 0.75)
RECORDS: list[Record] = [INTERVAL, EPISODE, VALIDATION]


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


def test_nothing_is_written_before_the_first_value(tmp_path: Path) -> None:
    board = TensorBoard(tmp_path / "tensorboard")
    board.close()
    assert not (tmp_path / "tensorboard").exists()


def test_a_closed_tracker_can_go_on(tmp_path: Path) -> None:
    board = TensorBoard(tmp_path / "tensorboard")
    board.log(INTERVAL)
    board.close()
    board.log(EPISODE)
    board.close()
    board.close()
    assert len(list((tmp_path / "tensorboard").iterdir())) == 2


def test_scalars_alone_hide_no_older_ones(tmp_path: Path) -> None:
    board = TensorBoard(tmp_path / "tensorboard")
    board.log_scalars(1_200, {"evaluation_mean": 3.5})
    board.close()
    _, value = events(tmp_path / "tensorboard")
    assert not value.HasField("session_log")
    assert (value.step, value.summary.value[0].simple_value) == (1_200, 3.5)


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

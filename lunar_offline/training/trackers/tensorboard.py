"""TensorBoard event files."""

import os
import time
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO

from lunar_offline.storage.atomic_write import named_errors
from lunar_offline.training.metrics import Record
from lunar_offline.training.trackers.scalars import record_scalars


class TensorBoard:
    """A TensorBoard event file, which the first value creates.

    torch's SummaryWriter is not used: its writer thread prints a traceback if the disk is full, and
    does not survive a fork. This class writes every value at once.

    Args:
        folder: folder of the event file; created if needed.
    """

    name = "tensorboard"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: BinaryIO | None = None

    def _open(self) -> None:
        import tensorboard.compat.proto.event_pb2 as events  # these imports are slow
        import tensorboard.compat.proto.summary_pb2 as summaries
        from tensorboard.summary.writer.record_writer import RecordWriter

        # protobuf creates these classes during the import, so type checkers do not know them
        self._proto: Any = SimpleNamespace(**vars(events) | vars(summaries))
        self._folder.mkdir(exist_ok=True)
        self._path = self._folder / f"events.out.tfevents.{time.time():017.6f}.{os.getpid()}"
        self._file = self._path.open("xb", buffering=0)
        self._records: Any = RecordWriter(self._file)
        self._write(file_version="brain.Event:2")

    def _write(self, **fields: Any) -> None:
        event = self._proto.Event(wall_time=time.time(), **fields)
        with named_errors(self._path):
            self._records.write(event.SerializeToString())

    def log(self, record: Record) -> None:
        """Store a record; each of its numbers is a scalar over update steps.

        TensorBoard ignores older scalars from the step of the first record on.
        """
        if self._file is None:
            self._open()
            start = self._proto.SessionLog(status=self._proto.SessionLog.START)
            self._write(step=record.update_step, session_log=start)
        self.log_scalars(record.update_step, record_scalars(record.to_dict()))

    def log_scalars(self, update_step: int, scalars: Mapping[str, float]) -> None:
        """Store scalars at an update step."""
        if self._file is None:
            self._open()
        values = [
            self._proto.Summary.Value(tag=name, simple_value=value)
            for name, value in scalars.items()
        ]
        self._write(step=update_step, summary=self._proto.Summary(value=values))

    def close(self) -> None:
        """Close the file; a value that follows creates another one."""
        if self._file is not None:
            self._file.close()
            self._file = None

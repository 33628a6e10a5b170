"""Scalars for TensorBoard, written as they come.

torch's SummaryWriter writes in a thread of its own, which prints a traceback when the disk is full
and is lost in a fork.
"""

import os
import time
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from lunar_offline.files import named_errors


class Board:
    """One event file in a folder.

    Args:
        folder: is made if need be.
        first_step: of this file; older files' scalars from there on are dropped from the curves.
    """

    def __init__(self, folder: Path, first_step: int) -> None:
        import tensorboard.compat.proto.event_pb2 as events  # slow imports
        import tensorboard.compat.proto.summary_pb2 as summaries
        from tensorboard.summary.writer.record_writer import RecordWriter

        # classes that protobuf makes as it is imported, which no type checker sees
        proto: Any = SimpleNamespace(**vars(events) | vars(summaries))
        self._event, self._summary = proto.Event, proto.Summary
        folder.mkdir(exist_ok=True)
        self._path = folder / f"events.out.tfevents.{time.time():017.6f}.{os.getpid()}"
        self._file = self._path.open("xb", buffering=0)
        self._records: Any = RecordWriter(self._file)
        self._write(file_version="brain.Event:2")
        start = proto.SessionLog(status=proto.SessionLog.START)
        self._write(step=first_step, session_log=start)

    def _write(self, **fields: Any) -> None:
        event = self._event(wall_time=time.time(), **fields)
        with named_errors(self._path):
            self._records.write(event.SerializeToString())

    def add(self, step: int, scalars: Mapping[str, float]) -> None:
        """Add a point to the curve of each name."""
        values = [self._summary.Value(tag=tag, simple_value=v) for tag, v in scalars.items()]
        self._write(step=step, summary=self._summary(value=values))

    def close(self) -> None:
        """Close the file."""
        self._file.close()

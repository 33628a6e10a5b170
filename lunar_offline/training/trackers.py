"""Trackers, which store the records of a run: metrics.jsonl and TensorBoard."""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO, Protocol

from lunar_offline.storage.atomic_write import named_errors
from lunar_offline.training.metrics import Record


class Tracker(Protocol):
    """Receives the records of a run."""

    def log(self, record: Record) -> None:
        """Store one record."""
        ...

    def close(self) -> None:
        """Release all resources; no record follows."""
        ...


class JSONLines:
    """A file with one JSON object per line.

    Args:
        path: the file, which the first record creates; a symbolic link is not followed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextmanager
    def _appending(self) -> Iterator[BinaryIO]:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
        with (
            named_errors(self._path),
            os.fdopen(os.open(self._path, flags | os.O_CLOEXEC, 0o666), "ab", buffering=0) as file,
        ):
            yield file

    def log(self, record: Record) -> None:
        """See Tracker."""
        with self._appending() as file:
            text = json.dumps(record.to_dict(), allow_nan=False).encode() + b"\n"
            while text:  # a full disk accepts a part, and the next write raises the error
                text = text[file.write(text) :]

    def close(self) -> None:
        """See Tracker; the file is closed after each record."""

    def size(self) -> int:
        """Return the size of the file in bytes; 0 if it does not exist."""
        return self._path.lstat().st_size if os.path.lexists(self._path) else 0

    def sync(self) -> None:
        """Fsync the file."""
        with self._appending() as file:
            os.fsync(file.fileno())

    def truncate(self, size: int) -> None:
        """Keep only the first `size` bytes of the file."""
        if os.path.lexists(self._path):
            with self._appending() as file:
                file.truncate(size)


class TensorBoard:
    """A TensorBoard event file, which the first record creates.

    torch's SummaryWriter is not used: its writer thread prints a traceback if the disk is full, and
    does not survive a fork. This class writes every record at once.

    Args:
        folder: folder of the event file; created if needed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: BinaryIO | None = None

    def _open(self, first_step: int) -> None:
        """Create the file; TensorBoard then ignores older scalars from `first_step` on."""
        import tensorboard.compat.proto.event_pb2 as events  # these imports are slow
        import tensorboard.compat.proto.summary_pb2 as summaries
        from tensorboard.summary.writer.record_writer import RecordWriter

        # protobuf creates these classes during the import, so type checkers do not know them
        proto: Any = SimpleNamespace(**vars(events) | vars(summaries))
        self._event, self._summary = proto.Event, proto.Summary
        self._folder.mkdir(exist_ok=True)
        self._path = self._folder / f"events.out.tfevents.{time.time():017.6f}.{os.getpid()}"
        self._file = self._path.open("xb", buffering=0)
        self._records: Any = RecordWriter(self._file)
        self._write(file_version="brain.Event:2")
        start = proto.SessionLog(status=proto.SessionLog.START)
        self._write(step=first_step, session_log=start)

    def _write(self, **fields: Any) -> None:
        event = self._event(wall_time=time.time(), **fields)
        with named_errors(self._path):
            self._records.write(event.SerializeToString())

    def log(self, record: Record) -> None:
        """See Tracker; every number of a record is a scalar over update steps."""
        if self._file is None:
            self._open(record.update_step)
        values = [
            self._summary.Value(tag=name, simple_value=value)
            for name, value in record.to_dict().items()
            if not isinstance(value, str) and name != "update_step"
        ]
        self._write(step=record.update_step, summary=self._summary(value=values))

    def close(self) -> None:
        """See Tracker."""
        if self._file is not None:
            self._file.close()
            self._file = None

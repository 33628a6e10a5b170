"""The trackers of a run: a failure of one never stops or changes the training."""

import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from lunar_offline.errors import RefusedError
from lunar_offline.storage.plain_text import one_line
from lunar_offline.storage.strict_json import read_json, write_json
from lunar_offline.training.metrics import Record
from lunar_offline.training.trackers.mirror import MirrorProcess
from lunar_offline.training.trackers.registry import DEFAULT, TENSORBOARD, TRACKERS
from lunar_offline.training.trackers.scalars import evaluation_scalars
from lunar_offline.training.trackers.tensorboard import TensorBoard

FINISH_S, ABORT_S = 60.0, 10.0


def recorded_trackers(path: Path) -> tuple[str, ...]:
    """Return the trackers that a run has used last.

    Raises:
        RefusedError: trackers.json is damaged.
    """
    source = path / "trackers.json"
    if not os.path.lexists(source):
        return DEFAULT
    names = read_json(source).get("trackers")
    if not isinstance(names, list) or not all(name in TRACKERS for name in names):
        raise RefusedError(f"{source}: not a list of trackers")
    return tuple(names)


class RunTrackers:
    """The trackers of a run, which mirror metrics.jsonl.

    Args:
        path: the run directory.
        names: see `parse_trackers`.
    """

    def __init__(self, path: Path, names: Sequence[str]) -> None:
        self._path, self._names = path, tuple(names)
        self._board: TensorBoard | None = None
        self._mirrors: list[MirrorProcess] = []
        self._depth, self._started = 0, False
        self._evaluated = False

    @contextmanager
    def open(self) -> Iterator[None]:
        """Keep the trackers open inside, and end them with the outermost of nested calls."""
        self._depth += 1
        wait_s = ABORT_S
        try:
            yield
            wait_s = FINISH_S
        finally:
            self._depth -= 1
            if self._depth == 0:
                self._close(wait_s)

    def start(self, records: Sequence[Record]) -> None:
        """Start the trackers, unless they have started.

        Args:
            records: those of metrics.jsonl, which is at its final size so far.
        """
        if self._started:
            return
        self._started = True
        if self._names != recorded_trackers(self._path):
            write_json(self._path / "trackers.json", {"trackers": list(self._names)})
        for name in self._names:
            try:
                if name == TENSORBOARD:
                    self._start_board(records)
                else:
                    self._mirrors.append(MirrorProcess(name, self._path))
            except Exception as error:
                _warn(name, error)

    def _start_board(self, records: Sequence[Record]) -> None:
        folder = self._path / TENSORBOARD
        board = TensorBoard(folder)
        if not folder.exists():
            for record in records:  # of a run that had no TensorBoard before
                board.log(record)
        self._board = board

    def log(self, record: Record) -> None:
        """Store a record, which metrics.jsonl has already."""
        if self._board is not None:
            with self._dropped_on_failure(self._board):
                self._board.log(record)
        for mirror in list(self._mirrors):
            with self._dropped_on_failure(mirror):
                mirror.check()

    def evaluated(self, update_step: int, summary: Mapping[str, object], *, again: bool) -> None:
        """Store the numbers of evaluation.json, which has been written.

        Args:
            update_step: number of updates of the run.
            summary: its values.
            again: whether the run had an evaluation before.
        """
        self._evaluated = True
        if self._board is not None and not again:
            with self._dropped_on_failure(self._board):
                self._board.log_scalars(update_step, evaluation_scalars(summary))

    @contextmanager
    def _dropped_on_failure(self, tracker: TensorBoard | MirrorProcess) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            if isinstance(tracker, TensorBoard):
                self._board = None
            else:
                self._mirrors.remove(tracker)
            with suppress(Exception):
                tracker.close()
            _warn(tracker.name, error)

    def _close(self, wait_s: float) -> None:
        if self._board is not None:
            self._board.close()
        words = ["finished"] if wait_s == FINISH_S else []
        words += ["evaluated"] if self._evaluated else []
        for mirror in self._mirrors:
            mirror.close(*words)
        until = time.monotonic() + wait_s
        for mirror in list(self._mirrors):
            with self._dropped_on_failure(mirror):
                mirror.wait(until - time.monotonic())
        self._board, self._mirrors = None, []
        self._started = self._evaluated = False


def _warn(name: str, error: Exception) -> None:
    print(
        f"tracker {name}: {one_line(error)}; it is dropped, and metrics.jsonl has every record",
        file=sys.stderr,
        flush=True,
    )

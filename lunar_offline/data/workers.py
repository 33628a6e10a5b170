"""An ordered map over processes that stops at once and never outlives its caller."""

import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from typing import Any

from lunar_offline.errors import LunarOfflineError


def usable_cores() -> int:
    """Return how many cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def map_in_processes(
    function: Callable[[Any], Any], items: Sequence[Any], *, workers: int
) -> Iterator[Any]:
    """Yield function(item) of every item, in their order.

    concurrent.futures would do, but that its children print tracebacks at Ctrl-C and that it waits
    for work nobody wants any more. Here every child has a pipe of its own: it can be ended at any
    time, and ends itself when the pipe does.

    Args:
        function: can be pickled, its results too; goes to each process once.
        items: what to map; can be pickled.
        workers: processes to start, at least one.

    Raises:
        LunarOfflineError: a process died.
        Exception: what `function` raised.
    """
    context = multiprocessing.get_context("spawn")  # a fork would copy torch's and rich's threads
    payload, waiting = pickle.dumps(function), enumerate(items)
    children: dict[Connection, Any] = {}
    results: dict[int, Any] = {}
    due = 0

    def give(connection: Connection) -> None:
        item = next(waiting, None)
        if item is not None:
            send(connection, pickle.dumps(item))

    def send(connection: Connection, message: bytes) -> None:
        with suppress(ConnectionError):  # to a process that died; waiting for its answer says so
            connection.send_bytes(message)

    try:
        with _interrupts_ignored():  # for the children, who keep it so: Ctrl-C is ours to answer
            for _ in range(min(workers, len(items))):
                ours, theirs = context.Pipe()
                child = context.Process(target=_serve, args=(theirs,), daemon=True)
                child.start()
                children[ours] = child
                theirs.close()
        for connection in children:
            send(connection, payload)
            give(connection)
        while due < len(items):
            for connection in wait(list(children)):
                assert isinstance(connection, Connection)
                try:
                    index, result = pickle.loads(connection.recv_bytes())
                except (EOFError, ConnectionError):
                    children[connection].join()
                    code = children[connection].exitcode
                    raise LunarOfflineError(
                        f"a worker process died (exit code {code}); a script that starts workers "
                        "needs its `if __name__ == '__main__':`"
                    ) from None
                if isinstance(result, Exception):
                    raise result
                results[index] = result
                give(connection)
            while due in results:
                yield results.pop(due)
                due += 1
    finally:
        for connection, child in children.items():
            connection.close()
            child.terminate()
            child.join()


def _serve(connection: Connection) -> None:
    try:
        function = pickle.loads(connection.recv_bytes())
        while True:
            index, item = pickle.loads(connection.recv_bytes())
            try:
                result = function(item)
            except Exception as error:
                result = error
            connection.send_bytes(pickle.dumps((index, result)))
    except (EOFError, ConnectionError):
        pass  # whoever asked is gone


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers, and only it gets the interrupt
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)

"""Work that this process shares with others, which stop at once and never outlive it."""

import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

from lunar_offline.errors import LunarOfflineError

T = TypeVar("T")
END: Any = object()


def usable_cores() -> int:
    """Return how many cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def in_order(numbered: Iterable[tuple[int, T]]) -> Iterator[T]:
    """Yield the values of (number, value) pairs, which come in any order, by number from 0."""
    early: dict[int, T] = {}
    due = 0
    for number, value in numbered:
        early[number] = value
        while due in early:
            yield early.pop(due)
            due += 1


def share(
    work: Callable[[Iterator[Any]], Iterator[Any]],
    items: Iterable[Any],
    *,
    workers: int,
    ahead: int,
    prepare: Callable[[], object] = int,
) -> Iterator[Any]:
    """Yield what `work` makes of items in this process and `workers - 1` others, as it is done.

    This process begins at once, while the others start, and looks after them whenever it has done
    something itself. Each takes items as it needs them, so that all are done at about one time.

    concurrent.futures would do, but that its processes print tracebacks at Ctrl-C and that it waits
    for work nobody wants any more. Here each has a pipe of its own: it can be ended at any time,
    and ends itself when the pipe does.

    Args:
        work: yields one result for each item that it takes, in any order; can be pickled where
            there are others.
        items: what to work on. Items and results can be pickled, and one of the two are small:
            both wait in the same pipe.
        workers: processes, this one among them.
        ahead: items that another process has at hand: more than `work` takes before it yields.
        prepare: called in the other processes first; can be pickled.

    Raises:
        LunarOfflineError: a process died.
        Exception: what `work` raised.
    """
    context = multiprocessing.get_context("spawn")  # a fork would copy torch's and rich's threads
    task, waiting = pickle.dumps((prepare, work)) if workers > 1 else b"", iter(items)
    children: dict[Connection, Any] = {}
    at_hand: dict[Connection, int] = {}  # of those that have their task

    def give(connection: Connection) -> None:
        if connection in at_hand:
            wanted = ahead - at_hand[connection]
            more = list(islice(waiting, wanted))
            at_hand[connection] += len(more)
            message = pickle.dumps((more, len(more) < wanted))
        else:
            at_hand[connection], message = 0, task
        with suppress(ConnectionError):  # to a process that died; waiting for its answer says so
            connection.send_bytes(message)

    try:
        with _interrupts_ignored():  # for the children, who keep it so: Ctrl-C is ours to answer
            for _ in range(workers - 1):
                ours, theirs = context.Pipe()
                child = context.Process(target=_serve, args=(theirs,), daemon=True)
                child.start()
                children[ours] = child
                theirs.close()
        own, busy = work(waiting), True
        while busy or any(at_hand.values()):
            answers = wait(list(children), 0 if busy else None)
            for connection in answers:
                assert isinstance(connection, Connection)
                results = _answer(connection, children[connection])
                if results:
                    at_hand[connection] -= 1
                give(connection)
                yield from results
            if busy and not answers:
                result = next(own, END)
                if result is END:
                    busy = False
                else:
                    yield result
    finally:
        for connection, child in children.items():
            connection.close()
            child.terminate()
            child.join()


def _answer(connection: Connection, child: Any) -> list[Any]:
    """Return what a process sent: nothing once it is there and once it is ready, then results."""
    try:
        answer = pickle.loads(connection.recv_bytes())
    except (EOFError, ConnectionError):
        child.join()
        raise LunarOfflineError(
            f"a worker process died (exit code {child.exitcode}); a script that starts workers "
            "needs its `if __name__ == '__main__':`"
        ) from None
    if isinstance(answer, Exception):
        raise answer
    return answer


def _serve(connection: Connection) -> None:
    def received() -> Iterator[Any]:
        last = False
        while not last:
            more, last = pickle.loads(connection.recv_bytes())
            yield from more

    def answer(message: Any) -> None:
        connection.send_bytes(pickle.dumps(message))

    with suppress(EOFError, ConnectionError):  # whoever asked is gone
        answer([])
        prepare, work = pickle.loads(connection.recv_bytes())
        try:
            prepare()
            answer([])
            for result in work(received()):
                answer([result])
        except (EOFError, ConnectionError):
            raise
        except Exception as error:
            answer(error)
        while True:  # this process is ended, and does not end
            connection.recv_bytes()


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

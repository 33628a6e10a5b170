"""Work shared with worker processes, which can be stopped at once and never outlive this one."""

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
    """Return the number of cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def in_order(numbered: Iterable[tuple[int, T]]) -> Iterator[T]:
    """Yield the values of (number, value) pairs, received in any order, by number from 0."""
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
    prepare: Callable[[], object] | None = None,
) -> Iterator[Any]:
    """Apply `work` to items in this process and `workers - 1` others; yield results as they come.

    This process starts to work while the others are still starting, and serves them between its own
    results. Each process takes items as it needs them, so that all finish at about the same time.

    concurrent.futures is not used, because its processes print tracebacks at Ctrl-C and because it
    waits for results that the caller no longer needs. Here each process has its own pipe: it can be
    terminated at any time, and it exits when the pipe closes.

    Args:
        work: generator function that yields one result per item, in any order; must be picklable
            with more than one worker.
        items: inputs of `work`. Items and results must be picklable with more than one worker, and
            either the items or the results must be small, because both wait in the same pipe.
        workers: number of processes, this one included.
        ahead: number of items sent to another process in advance; must exceed the number that
            `work` takes before it yields.
        prepare: is called once at the start of each further process; must be picklable.

    Raises:
        LunarOfflineError: a worker process died.
        Exception: the exception that `work` raised.
    """
    context = multiprocessing.get_context("spawn")  # a fork is not safe: torch and rich use threads
    task, waiting = pickle.dumps((prepare, work)) if workers > 1 else b"", iter(items)
    children: dict[Connection, Any] = {}
    at_hand: dict[Connection, int] = {}  # unanswered items, once the task is sent

    def give(connection: Connection) -> None:
        if connection in at_hand:
            wanted = ahead - at_hand[connection]
            more = list(islice(waiting, wanted))
            at_hand[connection] += len(more)
            message = pickle.dumps((more, len(more) < wanted))
        else:
            at_hand[connection], message = 0, task
        with suppress(ConnectionError):  # it died; `_answer` reports that
            connection.send_bytes(message)

    try:
        with _interrupts_ignored():  # children inherit this: only this process handles Ctrl-C
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
    """Return the results that a process sent; its first two messages, at its start, are empty."""
    try:
        answer = pickle.loads(connection.recv_bytes())
    except (EOFError, ConnectionError):
        child.join()
        raise LunarOfflineError(
            f"a worker process died (exit code {child.exitcode}); a script that starts workers "
            "needs the guard `if __name__ == '__main__':`"
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

    with suppress(EOFError, ConnectionError):  # the parent process has closed the pipe
        answer([])
        prepare, work = pickle.loads(connection.recv_bytes())
        try:
            if prepare is not None:
                prepare()
            answer([])
            for result in work(received()):
                answer([result])
        except (EOFError, ConnectionError):
            raise
        except Exception as error:
            answer(error)
        while True:  # until the parent closes the pipe or terminates this process
            connection.recv_bytes()


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers, and only it receives interrupts
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)

"""Commands in forks of this process, to be killed, stopped or left without disk."""

import json
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lunar_offline_cli.app import main

DATASETS = Path("datasets")
WHOLE = Path("whole")  # where nothing is disturbed


def report(round_: Any) -> None:
    """Print a round of a loop as a line of JSON."""
    # at once: a fork would have what waits to be written, and write it too
    print(json.dumps(round_), flush=True)


class Command:
    """A command of the command line, in a fork.

    Args:
        arguments: its words.
        limit: bytes that no file may be longer than, which stands in for a full disk.
        before: called in the fork first.
    """

    def __init__(
        self, *arguments: str, limit: int | None = None, before: Callable[[], object] = int
    ) -> None:
        self._file = Path("output")
        with self._file.open("w+") as output:
            self._pid = os.fork()
            if self._pid:
                return
            for descriptor in (1, 2):
                os.dup2(output.fileno(), descriptor)
        sys.argv = ["lunar-offline", *arguments]
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        try:
            before()
            main()
        except SystemExit as stop:  # as Python ends with it, less a second of tidying up
            code = int(stop.code or 0)
        except BaseException:
            traceback.print_exc()
            code = 70
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)

    def alive(self) -> bool:
        return os.waitid(os.P_PID, self._pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None

    def ended(self) -> int:
        """Wait for the end; return the exit status, or a signal's number below zero."""
        return os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])

    def stopped(self) -> None:
        """Wait until it has stopped itself."""
        os.waitid(os.P_PID, self._pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def send(self, number: int) -> None:
        os.kill(self._pid, number)  # not waited for yet, so the number is nobody else's

    def killed(self) -> bool:
        """Kill it; return whether that came before its end, which must be a good one."""
        self.send(signal.SIGKILL)
        status = self.ended()
        assert status in (0, -signal.SIGKILL), (status, self.output())
        return status != 0

    def wait(self, until: Callable[[], object]) -> None:
        while self.alive() and not until():
            time.sleep(0.001)

    def output(self) -> str:
        return self._file.read_text()

    def succeeds(self) -> None:
        status = self.ended()
        assert status == 0, (status, self.output())


def interrupt(number: int, where: Any, name: str, call: int = 1, after: bool = False) -> None:
    """Let a function send its own process a signal, before or after it does its work."""
    original, calls = getattr(where, name), 0

    def interrupting(*arguments: Any, **keywords: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == call and not after:
            os.kill(os.getpid(), number)
        result = original(*arguments, **keywords)
        if calls == call and after:
            os.kill(os.getpid(), number)
        return result

    setattr(where, name, interrupting)

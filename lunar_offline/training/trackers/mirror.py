"""The process of a mirror, as the training sees it."""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from lunar_offline.errors import LunarOfflineError
from lunar_offline.storage.plain_text import printable

TAIL_BYTES = 4_096


class MirrorProcess:
    """A process that mirrors metrics.jsonl to a tracker; see `mirror_process`.

    It starts at once. Its output is in `trackers/NAME.log` in the run directory.

    Args:
        name: of the adapter.
        folder: the run directory.

    Raises:
        OSError: the process cannot be started.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self._log = folder / "trackers" / f"{name}.log"
        self._log.parent.mkdir(exist_ok=True)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        log = os.open(self._log, flags, 0o666)
        try:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-P", "-m", "lunar_offline.training.trackers.mirror_process"),
                    *(name, str(folder)),
                ],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the training, which then ends the mirror
            )
        finally:
            os.close(log)

    def check(self) -> None:
        """Raise LunarOfflineError if the process has ended."""
        if self._process.poll() is not None:
            raise LunarOfflineError(self._reason())

    def close(self, *words: str) -> None:
        """Tell the process how the run ended; it then finishes. See `mirror_process`."""
        assert self._process.stdin is not None
        with suppress(OSError):  # it has ended already
            self._process.stdin.write("".join(f"{word}\n" for word in words).encode())
            self._process.stdin.flush()
        with suppress(OSError):
            self._process.stdin.close()

    def wait(self, seconds: float) -> None:
        """Wait for the process to end, and kill it if it takes too long.

        Raises:
            LunarOfflineError: it failed, or took too long.
        """
        try:
            code = self._process.wait(max(0.0, seconds))
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            raise LunarOfflineError(f"not done after {seconds:.0f} s") from None
        if code:
            raise LunarOfflineError(self._reason())

    def _reason(self) -> str:
        if self._process.returncode != 1:
            return f"it ended with exit code {self._process.returncode}"
        with suppress(OSError), self._log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
            last = next((line for line in reversed(lines) if line.strip()), "")
            return f"{printable(last)[:200]} (details in {self._log})"
        return "it failed"

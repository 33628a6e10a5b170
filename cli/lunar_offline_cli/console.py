"""Progress output: bars on a terminal, plain lines elsewhere."""

import sys
import time
from datetime import timedelta
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

PLAIN_EVERY_S = 30.0

LABELS = {
    "episode_return": "return",
    "validation_mean": "validation",
    "env_step": "env step",
}


class Bars:
    """Draws one progress bar per phase on stderr, with rate, status and time left.

    Without a terminal, it prints a plain line at the start of a phase and every 30 seconds.

    Args:
        quiet: print nothing (for --quiet and --json).
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self._console = Console(stderr=True, quiet=quiet)
        self._plain = not self._console.is_terminal
        self._progress = Progress(
            TextColumn("{task.description:<16}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TextColumn("{task.fields[status]}", style="cyan"),
            TimeRemainingColumn(),
            console=self._console,
            disable=self._plain or quiet,
        )
        self._quiet = quiet
        self._task: TaskID | None = None
        self._status: dict[str, float] = {}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def phase(self, name: str, total: int, done: int) -> None:
        """Start a bar; the previous bar keeps its last state."""
        self._name, self._total, self._first, self._done = name, total, done, done
        self._since = self._spoken = time.monotonic()
        self._status = {}
        self._task = self._progress.add_task(name, total=total, completed=done, rate="", status="")
        if self._plain and not self._quiet:
            print(f"{name}: {done}/{total}", file=sys.stderr, flush=True)

    def advance(self, amount: float, **status: Any) -> None:
        """Advance the bar; it shows each number in `status` until the next value."""
        self._done += amount
        self._status |= status
        now = time.monotonic()
        rate = (self._done - self._first) / max(now - self._since, 1e-9)
        shown = "  ".join(
            f"{LABELS.get(key, key)} {value:,.0f}" for key, value in self._status.items()
        )
        if self._task is not None:
            self._progress.update(
                self._task, completed=self._done, rate=_shown_rate(rate), status=shown
            )
        if self._plain and not self._quiet and now - self._spoken > PLAIN_EVERY_S:
            self._spoken = now
            left = timedelta(seconds=round((self._total - self._done) / rate if rate else 0.0))
            parts = (f"{self._name}: {self._done:.0f}/{self._total}", _shown_rate(rate), shown)
            print("  ".join(filter(None, (*parts, f"{left} left"))), file=sys.stderr, flush=True)


def _shown_rate(per_second: float) -> str:
    """Return a rate per second or minute, whichever first gives at least 1, else per hour."""
    for unit, seconds in (("s", 1), ("min", 60)):
        if per_second * seconds >= 1:
            return f"{per_second * seconds:.1f}/{unit}"
    return f"{per_second * 3600:.1f}/h"

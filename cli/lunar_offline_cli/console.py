"""Progress output: bars on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from types import TracebackType
from typing import Any, Self

from rich.console import Console, JustifyMethod
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID
from rich.table import Column
from rich.text import Text

PLAIN_EVERY_S = 30.0
NAME_WIDTH = 15
WITHOUT_BAR = 72  # columns of everything but the bar

LABELS = {
    "episode_return": "return",
    "validation_mean": "validation",
    "env_step": "env step",
}


class _Narrowing(ProgressColumn):
    """A column that the console shortens, with an ellipsis, before it shortens any other."""

    def __init__(self, text: Callable[[Task], str], style: str = "") -> None:
        super().__init__(Column(no_wrap=False))
        self._text, self._style = text, style

    def render(self, task: Task) -> Text:
        """Return the text of a task on one line."""
        return Text(self._text(task), self._style, no_wrap=True, overflow="ellipsis")


class _Kept(ProgressColumn):
    """A column that is never shortened."""

    def __init__(self, text: Callable[[Task], str], justify: JustifyMethod = "right") -> None:
        super().__init__(Column(no_wrap=True, justify=justify))
        self._text = text

    def render(self, task: Task) -> Text:
        """Return the text of a task."""
        return Text(self._text(task), no_wrap=True)


@dataclass
class _Phase:
    """The state of one phase; a phase that starts again continues its bar.

    Attributes:
        total: units of the phase.
        first: units that were done when it started.
        done: units that are done.
        since: time of its start.
        spent: seconds before that, if other phases have interrupted it.
        status: the numbers that are shown next to the bar.
        task: its bar.
    """

    total: int
    first: float
    done: float
    since: float
    spent: float
    status: dict[str, float]
    task: TaskID

    def seconds(self) -> float:
        """Return the seconds spent in it so far."""
        return self.spent + time.monotonic() - self.since

    def rate(self) -> float:
        """Return the units per second since the start."""
        return (self.done - self.first) / max(self.seconds(), 1e-9)

    def clock(self) -> timedelta:
        """Return the time left, or the time taken if all is done."""
        rate = self.rate()
        left = (self.total - self.done) / rate if rate else 0.0
        return timedelta(seconds=round(self.seconds() if self.done >= self.total else left))


class Bars:
    """Draws one progress bar per phase on stderr, with count, rate, time left and status.

    Without a terminal, it prints a plain line at the start of a phase and every 30 seconds.

    Args:
        quiet: print nothing (for --quiet and --json).
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self._console = Console(stderr=True, quiet=quiet)
        self._plain = not self._console.is_terminal
        self._progress = Progress(
            _Kept(lambda task: f"{task.description:<{NAME_WIDTH}}", "left"),
            BarColumn(bar_width=max(4, min(24, self._console.width - WITHOUT_BAR))),
            _Kept(lambda task: f"{task.completed:.0f}/{task.total:.0f}"),
            _Kept(lambda task: task.fields["rate"]),
            _Kept(lambda task: task.fields["clock"]),
            _Narrowing(lambda task: task.fields["status"], "cyan"),
            console=self._console,
            disable=self._plain or quiet,
        )
        self._quiet = quiet
        self._phases: dict[str, _Phase] = {}
        self._name = ""

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
        """Start a bar, or continue the bar of that name; the other bars keep their last state."""
        now, before = time.monotonic(), self._phases.get(name)
        if self._name:
            current = self._phases[self._name]
            current.spent, current.since = current.seconds(), now
        if before is None:
            task = self._progress.add_task(name, rate="", status="", clock="")
            if self._plain and not self._quiet:
                print(f"{name}: {done}/{total}", file=sys.stderr, flush=True)
        else:
            task = before.task
        if before is None or done < before.done:  # it starts, or starts again from the beginning
            before = _Phase(total, done, done, now, 0.0, {}, task)
        self._name, self._phases[name], self._spoken = name, replace(before, since=now), now
        self._progress.update(task, total=total, completed=done)

    def advance(self, amount: float, **status: Any) -> None:
        """Advance the bar; it shows each number in `status` until the next value."""
        phase, now = self._phases[self._name], time.monotonic()
        phase.done += amount
        phase.status |= status
        rate = _shown_rate(phase.rate()) if phase.done > phase.first else ""
        shown = "  ".join(
            f"{LABELS.get(key, key)} {phase.status[key]:,.0f}"
            for key in sorted(phase.status, key=[*LABELS, *phase.status].index)
        )
        clock = str(phase.clock()) if rate else ""
        self._progress.update(
            phase.task, completed=phase.done, rate=rate, status=shown, clock=clock
        )
        if self._plain and not self._quiet and now - self._spoken > PLAIN_EVERY_S:
            self._spoken = now
            parts = (f"{self._name}: {phase.done:.0f}/{phase.total}", rate, shown)
            ends = "" if phase.done >= phase.total else f"{clock} left"
            print("  ".join(filter(None, (*parts, ends))), file=sys.stderr, flush=True)


def _shown_rate(per_second: float) -> str:
    """Return a rate per second or minute, whichever first gives at least 1, else per hour."""
    for unit, seconds in (("s", 1), ("min", 60)):
        if per_second * seconds >= 1:
            return f"{per_second * seconds:.1f}/{unit}"
    return f"{per_second * 3600:.1f}/h"

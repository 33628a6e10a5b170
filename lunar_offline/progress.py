"""Progress reports of long operations."""

from typing import Any, Protocol


class Observer(Protocol):
    """Receives the progress of a long operation; the command line draws bars from it."""

    def phase(self, name: str, total: int, done: int) -> None:
        """Report the start of a phase of `total` units, of which `done` are done already."""

    def advance(self, amount: float, **status: Any) -> None:
        """Report that `amount` more units are done; `status` is shown next to the bar."""


class Silent:
    """Ignores every report."""

    def phase(self, name: str, total: int, done: int) -> None:
        """Ignore."""

    def advance(self, amount: float, **status: Any) -> None:
        """Ignore."""


class Kilobytes:
    """Reports numbers of bytes to an observer, in kB."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer

    def phase(self, name: str, total: int) -> None:
        """Report the start of a phase of `total` bytes; an empty phase is not reported."""
        if total:
            self._observer.phase(f"{name} kB", max(1, total // 1000), 0)

    def advance(self, amount: int) -> None:
        """Report that `amount` more bytes are done."""
        if amount:
            self._observer.advance(amount / 1000)

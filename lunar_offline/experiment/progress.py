"""What long work tells whoever watches it."""

from typing import Any, Protocol


class Observer(Protocol):
    """Hears of phases and steps; the command line draws bars from it."""

    def phase(self, name: str, total: int, done: int) -> None:
        """A phase of `total` units starts, `done` of them already done."""

    def advance(self, amount: float, **status: Any) -> None:
        """`amount` units are done; `status` is shown beside the bar."""


class Silent:
    """Says nothing."""

    def phase(self, name: str, total: int, done: int) -> None:
        """Ignore."""

    def advance(self, amount: float, **status: Any) -> None:
        """Ignore."""


class Kilobytes:
    """Tells an observer of bytes, in kB."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer

    def phase(self, name: str, total: int) -> None:
        """A phase of `total` bytes starts; one of nothing is not worth a word."""
        if total:
            self._observer.phase(f"{name} kB", max(1, total // 1000), 0)

    def advance(self, amount: int) -> None:
        """`amount` bytes are done."""
        if amount:
            self._observer.advance(amount / 1000)

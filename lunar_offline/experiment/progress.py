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

"""Means of the update's metrics between two lines of the log."""

from collections.abc import Mapping
from typing import Any, Self

import torch
from torch import Tensor


class Averages:
    """Sums scalars where they are, so that no update waits for a copy to the host."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._n = 0

    def add(self, metrics: Mapping[str, Tensor]) -> None:
        """Add one update's scalars."""
        for name, value in metrics.items():
            self._sums[name] = self._sums[name] + value if name in self._sums else value
        self._n += 1

    def take(self) -> dict[str, float]:
        """Return the means and start over."""
        means = {name: float(total) / self._n for name, total in self._sums.items()}
        self._sums, self._n = {}, 0
        return means

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""
        return {"sums": {name: float(total) for name, total in self._sums.items()}, "n": self._n}

    @classmethod
    def of_state(cls, state: Mapping[str, Any]) -> Self:
        """Return the averages whose `state` this was."""
        averages = cls()
        averages._sums = {name: torch.tensor(total) for name, total in state["sums"].items()}
        averages._n = state["n"]
        return averages

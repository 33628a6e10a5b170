"""The properties of an action space that networks need."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ActionSpec:
    """An action space: `size` discrete actions, or `size` dimensions in [-1, 1]."""

    discrete: bool
    size: int

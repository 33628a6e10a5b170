"""The hyperparameters that algorithms share; each algorithm extends them in its own file."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

from lunar_offline.options import RunKind, option

MAX_LAYERS, MAX_WIDTH, MAX_WEIGHTS = 8, 4096, 1 << 24


def check_hidden(hidden: Any) -> None:
    """Raise ValueError unless these are plausible widths of hidden layers.

    The limit of 16 million weights bounds the memory that a file from an unknown source can use.
    """
    if not (
        isinstance(hidden, list | tuple)
        and 1 <= len(hidden) <= MAX_LAYERS
        and all(type(width) is int and 1 <= width <= MAX_WIDTH for width in hidden)
        and sum(a * b for a, b in itertools.pairwise(hidden)) <= MAX_WEIGHTS
    ):
        raise ValueError(
            f"is not a list of 1 .. {MAX_LAYERS} integers in 1 .. {MAX_WIDTH}, with at most "
            "16 million weights"
        )


@dataclass(frozen=True)
class LearnerConfig:
    """Hyperparameters that every algorithm has. Each algorithm extends them in its own file."""

    hidden: tuple[int, ...] = option(
        (256, 256),
        "Widths of the hidden layers of policy and critics.",
        check=check_hidden,
        best=(128, 128),
    )
    learning_rate: float = option(
        3e-4,
        "Learning rate of Adam, for policy, critics and temperature.",
        at_least=0.0,
        best=lambda run: 1e-3 if run.discrete else 7e-4,
        paper=5e-4,
    )
    policy_tau: float = option(
        1.0,
        "Weight of the new parameters in each update of the policy's Polyak average, which is the "
        "policy that is evaluated and saved; 1 disables averaging.",
        above=0.0,
        at_most=1.0,
        # averaging reduces the noise of individual policies
        best=lambda run: 1.0 if run.online else 0.001,
    )

    @property
    def needs_returns(self) -> bool:
        """Whether batches must hold the discounted returns of the dataset."""
        return False

    def check(self, run: RunKind) -> None:
        """Raise UsageError if options conflict with each other or with the kind of run."""


@dataclass(frozen=True)
class ValueConfig(LearnerConfig):
    """Hyperparameters of algorithms with critics."""

    discount: float = option(
        0.99,
        "Discount factor of the return, per env step.",
        at_least=0.0,
        at_most=1.0,
        # values must propagate back over 250 steps from the landing
        best=lambda run: 0.99 if run.online else 0.995,
    )
    tau: float = option(
        0.005,
        "Weight of the new parameters in each Polyak update of the target critics.",
        above=0.0,
        at_most=1.0,
        best=0.01,
        paper=0.01,
    )
    max_grad_norm: float = option(
        0.0,
        "Maximum norm of the critics' gradient; 0 disables clipping.",
        at_least=0.0,
        paper=1.0,
    )

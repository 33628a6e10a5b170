"""What a checkpoint holds beside its tensors, checked key by key."""

import dataclasses
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from torch import Tensor

from lunar_offline.experiment.config import TrainConfig

FORMAT = "lunar-offline-checkpoint-2"
MAX_STEPS = 2**53


@dataclass(frozen=True)
class Counters:
    """Where a run stands.

    Attributes:
        update_step: updates taken.
        env_step: env steps flown in training.
        episode: online episodes flown.
        cursor: the replay's row that is written next.
        best_validation: best validation mean so far; None before the first.
        stopped_early: whether a validation reached `stop_return`.
        metrics_size: bytes of metrics.jsonl.
        averages: see `Averages.state`.
    """

    update_step: int
    env_step: int
    episode: int
    cursor: int
    best_validation: float | None
    stopped_early: bool
    metrics_size: int
    averages: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as `checked` takes them."""
        return dataclasses.asdict(self)

    @classmethod
    def checked(cls, values: Mapping[str, Any], config: TrainConfig, metrics_size: int) -> Self:
        """Build from what a file says.

        Args:
            values: plain JSON values.
            config: of the run.
            metrics_size: bytes that metrics.jsonl has now, and so the most it can have had.

        Raises:
            ValueError: a key is missing or unknown, or its value cannot be.
        """
        names = {f.name for f in dataclasses.fields(cls)}
        for name in sorted(names ^ set(values)):
            raise ValueError(f"the counter {name[:40]!r} is missing or unknown")
        for name, most in (
            ("update_step", MAX_STEPS),
            ("env_step", MAX_STEPS),
            ("episode", config.online_episodes),
            ("cursor", config.buffer_size - 1),
            ("metrics_size", metrics_size),
        ):
            if type(values[name]) is not int or not 0 <= values[name] <= most:
                raise ValueError(f"the counter {name} is {_short(values[name])}, not 0 .. {most}")
        if type(values["stopped_early"]) is not bool:
            raise ValueError(f"the counter stopped_early is {_short(values['stopped_early'])}")
        best, averages = values["best_validation"], values["averages"]
        if best is not None and not _finite(best):
            raise ValueError(f"the counter best_validation is {_short(best)}")
        if not _plausible_averages(averages):
            raise ValueError("the counter averages is damaged")
        return cls(**values)


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that was read.

    Attributes:
        tensors: by name.
        counters: where the run stood.
        notes: a line for each newer checkpoint that was damaged.
    """

    tensors: dict[str, Tensor]
    counters: Counters
    notes: list[str]


def _finite(value: Any) -> bool:
    return type(value) is float and math.isfinite(value)


def _plausible_averages(value: Any) -> bool:
    if not isinstance(value, dict) or set(value) != {"n", "sums"}:
        return False
    n, sums = value["n"], value["sums"]
    if type(n) is not int or not 0 <= n <= MAX_STEPS or not isinstance(sums, dict):
        return False
    return bool(sums) == bool(n) and all(
        re.fullmatch("[a-z_]{1,40}", name) and _finite(total) for name, total in sums.items()
    )


def _short(value: Any) -> str:
    return f"{value!r:.40}"

"""The counters in a checkpoint, in addition to its tensors, with a check of every key."""

import dataclasses
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from torch import Tensor

from lunar_offline.training.config import TrainConfig

FORMAT = "lunar-offline-checkpoint-3"
MAX_STEPS = 2**53


@dataclass(frozen=True)
class Counters:
    """The progress of a run.

    Attributes:
        update_step: number of updates so far.
        env_step: number of env steps in training episodes.
        episode: number of finished online episodes.
        cursor: the row of the replay buffer that is written next.
        best_validation: highest validation mean so far; None before the first validation.
        stopped_early: whether a validation reached `stop_return`.
        metrics_size: size of metrics.jsonl in bytes.
        interval: see `IntervalMeans.state`.
    """

    update_step: int
    env_step: int
    episode: int
    cursor: int
    best_validation: float | None
    stopped_early: bool
    metrics_size: int
    interval: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values, as `checked` accepts them."""
        return dataclasses.asdict(self)

    @classmethod
    def checked(cls, values: Mapping[str, Any], config: TrainConfig, metrics_size: int) -> Self:
        """Return the counters in a file, after a check of every value.

        Args:
            values: plain JSON values.
            config: the config of the run.
            metrics_size: present size of metrics.jsonl in bytes, an upper bound on the counter.

        Raises:
            ValueError: a key is missing or unknown, or a value is invalid.
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
        best, interval = values["best_validation"], values["interval"]
        if best is not None and not _finite(best):
            raise ValueError(f"the counter best_validation is {_short(best)}")
        if not _plausible_interval(interval):
            raise ValueError("the counter interval is damaged")
        return cls(**values)


@dataclass(frozen=True)
class Checkpoint:
    """The content of a checkpoint.

    Attributes:
        tensors: by name.
        counters: the progress of the run at the checkpoint.
        notes: one line for each newer checkpoint that is damaged.
    """

    tensors: dict[str, Tensor]
    counters: Counters
    notes: list[str]


def _finite(value: Any) -> bool:
    return type(value) is float and math.isfinite(value)


def _plausible_interval(value: Any) -> bool:
    if not isinstance(value, dict) or set(value) != {"sums", "counts"}:
        return False
    sums, counts = value["sums"], value["counts"]
    if not isinstance(sums, dict) or not isinstance(counts, dict) or set(sums) != set(counts):
        return False
    return all(
        re.fullmatch("[a-z][a-z0-9_]{0,39}", name)
        and _finite(total)
        and type(counts[name]) is int
        and 1 <= counts[name] <= MAX_STEPS
        for name, total in sums.items()
    )


def _short(value: Any) -> str:
    return f"{value!r:.40}"

"""The records of metrics.jsonl: one type each for episodes, intervals and validations.

A record is one line of JSON with its type as `kind`. The file of each algorithm explains the
metrics of its interval records.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from lunar_offline.errors import RefusedError
from lunar_offline.evaluation.summary import Evaluation
from lunar_offline.storage.strict_json import parse_json
from lunar_offline.storage.untrusted_files import read_regular

MAX_METRICS_BYTES = 32 << 20


@dataclass(frozen=True)
class EpisodeRecord:
    """An online training episode, with sampled actions.

    Attributes:
        update_step: number of updates at its end.
        env_step: number of env steps of training at its end.
        episode: its index, from 0.
        episode_return: undiscounted return.
        length: env steps of the episode.
        outcome: one of the outcomes of the env.
    """

    update_step: int
    env_step: int
    episode: int
    episode_return: float
    length: int
    outcome: str

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON values of the record."""
        return {"kind": "episode", **asdict(self)}


@dataclass(frozen=True)
class ValidationRecord:
    """A validation: the deterministic averaged policy on the validation seeds.

    Attributes:
        update_step: number of updates so far.
        env_step: number of env steps of training so far.
        episode: number of online episodes so far.
        mean: mean return.
        min: lowest return.
        frames: mean env steps per episode.
        crash_rate: fraction of episodes that crashed; None for an env without crashes.
    """

    update_step: int
    env_step: int
    episode: int
    mean: float
    min: float
    frames: float
    crash_rate: float | None = None

    @classmethod
    def of_summary(cls, update_step: int, env_step: int, episode: int, found: Evaluation) -> Self:
        """Return the record of a validation; see `summarize`."""
        counters = update_step, env_step, episode
        return cls(*counters, found.mean, found.min, found.frames, found.measure("crash_rate"))

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON values of the record."""
        values = {"validation_mean": self.mean, "validation_min": self.min}
        values["validation_frames"] = self.frames
        if self.crash_rate is not None:
            values["validation_crash_rate"] = self.crash_rate
        counters = ("update_step", "env_step", "episode")
        return {"kind": "validation", **{n: getattr(self, n) for n in counters}, **values}


@dataclass(frozen=True)
class IntervalRecord:
    """Means of the metrics of updates since the last interval record.

    Attributes:
        update_step: number of updates so far.
        env_step: number of env steps of training so far.
        metrics: means by name, each over the updates that have the metric.
        updates_per_s: updates per second, without the time of validations.
    """

    update_step: int
    env_step: int
    metrics: Mapping[str, float]
    updates_per_s: float

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON values of the record."""
        counters = {"update_step": self.update_step, "env_step": self.env_step}
        rate = {"updates_per_s": self.updates_per_s}
        return {"kind": "interval", **counters, **self.metrics, **rate}


Record = EpisodeRecord | ValidationRecord | IntervalRecord


class IntervalMeans:
    """Sums metrics on their device, so that no update waits for a copy to the host.

    A metric that only some updates have is averaged over those updates.
    """

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def __bool__(self) -> bool:
        """Whether any metric was added since the last `take`."""
        return bool(self._counts)

    def add(self, metrics: Mapping[str, Tensor]) -> None:
        """Add the metrics of one update: scalar tensors by name."""
        for name, value in metrics.items():
            self._sums[name] = self._sums[name] + value if name in self._sums else value
            self._counts[name] = self._counts.get(name, 0) + 1

    def take(self) -> dict[str, float]:
        """Return the means by name, and reset the sums."""
        means = {name: float(total) / self._counts[name] for name, total in self._sums.items()}
        self._sums, self._counts = {}, {}
        return means

    def state(self) -> dict[str, Any]:
        """Return the sums and counts as plain JSON values, for a checkpoint."""
        sums = {name: float(total) for name, total in self._sums.items()}
        return {"sums": sums, "counts": dict(self._counts)}

    @classmethod
    def of_state(cls, state: Mapping[str, Any]) -> Self:
        """Return the sums and counts that `state` returned."""
        means = cls()
        means._sums = {name: torch.tensor(total) for name, total in state["sums"].items()}
        means._counts = dict(state["counts"])
        return means


def read_metrics(path: Path, size: int | None) -> list[Record]:
    """Read metrics.jsonl; return an empty list if there is no file.

    Args:
        path: the file.
        size: number of bytes to read; None reads the complete file.

    Raises:
        RefusedError: a line is damaged, or the file is too large or not a regular file.
    """
    try:
        content = read_regular(path, MAX_METRICS_BYTES)[:size]
    except FileNotFoundError:
        return []
    if not content:
        return []
    records = []
    for number, text in enumerate(content.removesuffix(b"\n").split(b"\n"), 1):
        try:
            records.append(_record(parse_json(text)))
        except ValueError as error:
            raise RefusedError(f"{path}: line {number}: {error}") from None
    return records


def _record(line: Any) -> Record:
    """Return the record of a parsed line. Raises ValueError if it is not a valid record."""
    if not isinstance(line, dict):
        raise ValueError("is not a JSON object")
    values = dict(line)
    kind = values.pop("kind", None)
    steps = _count(values, "update_step"), _count(values, "env_step")
    if kind == "episode":
        outcome = values.pop("outcome", None)
        if not isinstance(outcome, str):
            raise ValueError("has no outcome")
        episode, length = _count(values, "episode"), _count(values, "length")
        episode_return = _number(values, "episode_return")
        found = EpisodeRecord(*steps, episode, episode_return, length, outcome)
    elif kind == "validation":
        numbers = [_number(values, f"validation_{name}") for name in ("mean", "min", "frames")]
        crash_rate = None
        if "validation_crash_rate" in values:
            crash_rate = _number(values, "validation_crash_rate")
        episode = _count(values, "episode")
        found = ValidationRecord(*steps, episode, *numbers, crash_rate=crash_rate)
    elif kind == "interval":
        rate = _number(values, "updates_per_s")
        metrics = {name: _number(values, name) for name in list(values)}
        found = IntervalRecord(*steps, metrics, rate)
    else:
        raise ValueError("is not a record of metrics")
    if values:
        raise ValueError(f"has an unknown key {next(iter(values))!r:.40}")
    return found


def _count(values: dict[str, Any], name: str) -> int:
    value = values.pop(name, None)
    if type(value) is not int or not 0 <= value < 2**53:
        raise ValueError(f"{name} is {value!r:.40}, not a count")
    return value


def _number(values: dict[str, Any], name: str) -> float:
    value = values.pop(name, None)
    # every comparison with NaN is false, so this refuses it
    if type(value) not in (int, float) or not abs(value) < 2**1000:
        raise ValueError(f"{name} is {value!r:.40}, not a finite number")
    return float(value)

"""The numbers of a run that trackers show."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Point:
    """Numbers at one moment of a run.

    Attributes:
        number: its place in the run, from 0: the line of metrics.jsonl, and the evaluation last.
        update_step: number of updates so far.
        values: by name.
    """

    number: int
    update_step: int
    values: dict[str, float]


def record_scalars(record: Mapping[str, object]) -> dict[str, float]:
    """Return the numbers of a line of metrics.jsonl, without the update step."""
    found = _numbers(record)
    found.pop("update_step", None)
    return found


def evaluation_scalars(summary: Mapping[str, object]) -> dict[str, float]:
    """Return the numbers of evaluation.json.

    Args:
        summary: its values.

    Returns:
        `evaluation_last_NAME` of the last policy, and `evaluation_best_NAME` of the best one.
    """
    return {f"evaluation_{name}": value for name, value in _numbers(summary).items()}


def _numbers(values: Mapping[str, object], prefix: str = "") -> dict[str, float]:
    found: dict[str, float] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found |= _numbers(value, f"{prefix}{name}_")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            found[prefix + name] = float(value)
    return found

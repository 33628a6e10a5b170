"""The JSON of a run: lines of metrics, provenance, evaluation. Strict, whoever wrote it."""

import json
import math
from pathlib import Path
from typing import Any

from lunar_offline.errors import RefusedError
from lunar_offline.files import parse_json, read_regular, write_atomic

MAX_JSON_BYTES = 16 << 20
MAX_METRICS_BYTES = 32 << 20
MEASURES = ("min_window_100", "frames", "crash_rate", "fuel", "regret_to_bound")


def read_metrics(path: Path, size: int | None) -> list[dict[str, Any]]:
    """Read lines of metrics; none where there is no file.

    Args:
        path: of metrics.jsonl.
        size: its first bytes that count; None is all.

    Raises:
        RefusedError: a line of it is damaged, or it is too large or no regular file.
    """
    try:
        content = read_regular(path, MAX_METRICS_BYTES)[:size]
    except FileNotFoundError:
        return []
    if not content:
        return []
    lines = []
    for number, text in enumerate(content.removesuffix(b"\n").split(b"\n"), 1):
        try:
            line = parse_json(text)
        except ValueError as error:
            raise RefusedError(f"{path}: line {number}: {error}") from None
        if not _is_line(line):
            raise RefusedError(f"{path}: line {number} is no line of metrics")
        lines.append(line)
    return lines


def _is_line(line: Any) -> bool:
    if not isinstance(line, dict) or type(line.get("update_step")) is not int:
        return False
    if ("episode_return" in line or "validation_mean" in line) and "episode" not in line:
        return False
    return all(
        name == "outcome" if isinstance(value, str) else _is_number(value)
        for name, value in line.items()
    )


def _is_number(value: Any) -> bool:
    if type(value) is int:
        return abs(value) < 2**53
    return type(value) is float and math.isfinite(value)


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object. Raises RefusedError when it is missing, too large, or none."""
    try:
        value = parse_json(read_regular(path, MAX_JSON_BYTES))
    except FileNotFoundError:
        raise RefusedError(f"{path}: missing") from None
    except ValueError as error:
        raise RefusedError(f"{path}: {error}") from None
    if not isinstance(value, dict):
        raise RefusedError(f"{path}: not a JSON object")
    return value


def read_evaluation(path: Path) -> dict[str, Any]:
    """Read evaluation.json: `mean`, `returns` and what else of its measures is there are finite.

    Raises:
        RefusedError: it is missing or damaged.
    """
    value = read_json(path)
    returns, last = value.get("returns"), value.get("last", value)
    measures = [value.get(name, 0) for name in MEASURES]
    if not (
        isinstance(returns, list)
        and returns
        and isinstance(last, dict)
        and all(map(_is_number, [*returns, *measures, value.get("mean"), last.get("mean")]))
    ):
        raise RefusedError(f"{path}: damaged; evaluate the run again")
    return value


def write_json(path: Path, value: Any) -> None:
    """Write strict JSON atomically."""
    write_atomic(path, (json.dumps(value, indent=2, allow_nan=False) + "\n").encode())

"""Strict reading of evaluation.json, also from untrusted sources."""

import math
from pathlib import Path
from typing import Any

from lunar_offline.errors import RefusedError
from lunar_offline.storage.strict_json import read_json

MEASURES = ("min_window_100", "frames", "crash_rate", "fuel", "regret_to_bound")


def read_evaluation(path: Path) -> dict[str, Any]:
    """Read evaluation.json and check that `mean`, `returns` and its other measures are finite.

    Raises:
        RefusedError: the file is missing or damaged.
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


def _is_number(value: Any) -> bool:
    if type(value) is int:
        return abs(value) < 2**53
    return type(value) is float and math.isfinite(value)

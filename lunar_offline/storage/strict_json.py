"""Strict JSON: duplicate keys, deep nesting and oversized numbers are refused."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from lunar_offline.errors import RefusedError
from lunar_offline.storage.atomic_write import write_atomic
from lunar_offline.storage.untrusted_files import read_regular

MAX_JSON_BYTES = 16 << 20

JSONValue: TypeAlias = (
    "bool | int | float | str | Sequence[JSONValue] | Mapping[str, JSONValue] | None"
)
"""A parsed JSON value."""


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object from a file.

    Raises:
        RefusedError: the file is missing, too large, or not a JSON object.
    """
    try:
        value = parse_json(read_regular(path, MAX_JSON_BYTES))
    except FileNotFoundError:
        raise RefusedError(f"{path}: missing") from None
    except ValueError as error:
        raise RefusedError(f"{path}: {error}") from None
    if not isinstance(value, dict):
        raise RefusedError(f"{path}: not a JSON object")
    return value


def write_json(path: Path, value: Any) -> None:
    """Write strict JSON atomically."""
    write_atomic(path, (json.dumps(value, indent=2, allow_nan=False) + "\n").encode())


MAX_DIGITS = 1000


def strict_json(text: str | bytes, parse_constant: Callable[[str], Any] | None = None) -> Any:
    """Parse UTF-8 JSON without duplicate keys, deep nesting or very long integers.

    Args:
        text: the JSON text.
        parse_constant: converts `NaN`, `Infinity` and `-Infinity`; None accepts them as floats,
            because Minari writes them.

    Raises:
        ValueError: the text does not meet this; the message is one line.
    """
    try:
        return json.loads(
            text if isinstance(text, str) else text.decode(),
            object_pairs_hook=_object,
            parse_constant=parse_constant,
            parse_int=_integer,
        )
    except RecursionError:
        raise ValueError("JSON nested too deep") from None


def parse_json(content: bytes) -> Any:
    """Parse JSON as `strict_json` does, and refuse NaN and infinities too."""
    return strict_json(content, _refuse_constant)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value in pairs:
        if name in values:
            raise ValueError(f"duplicate key {name[:40]!r}")
        values[name] = value
    return values


def _integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"a number has {len(digits):,} digits")
    return int(digits)


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not valid JSON")

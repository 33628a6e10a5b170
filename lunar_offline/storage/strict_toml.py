"""Strict TOML: size, depth and integers are limited, so that any file is parsed quickly."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lunar_offline.errors import RefusedError, UsageError
from lunar_offline.storage.untrusted_files import read_regular

MAX_TOML_BYTES = 1 << 17


MAX_TOML_DOTS = 100  # on a line: tomllib's time for a dotted key grows with their square


MAX_TOML_DEPTH = 16


MAX_TOML_BITS = 10_000  # of an integer: Python refuses to print much longer ones in decimal


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        UsageError: the file is missing, not a regular file, too large, or not TOML.
    """
    try:
        text = read_regular(path, MAX_TOML_BYTES).decode()
        if any(line.count(".") > MAX_TOML_DOTS for line in text.split("\n")):
            raise ValueError(f"a line has more than {MAX_TOML_DOTS} dots")
        values = tomllib.loads(text)
        _check_plain(values)
        return values
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file") from None
    except RefusedError as error:
        raise UsageError(str(error)) from None
    except RecursionError:
        raise UsageError(f"{path}: TOML nested too deep") from None
    except ValueError as error:  # not UTF-8, not TOML, or an integer of too many digits
        raise UsageError(f"{path}: {error}") from None


def _check_plain(values: dict[str, Any]) -> None:
    """Raise ValueError for values that Python cannot print: nested too deep, or too long."""
    waiting: list[tuple[Any, int]] = [(values, 0)]
    while waiting:
        value, depth = waiting.pop()
        if depth > MAX_TOML_DEPTH:
            raise ValueError("TOML nested too deep")
        if type(value) is int and value.bit_length() > MAX_TOML_BITS:
            raise ValueError(f"an integer has more than {MAX_TOML_BITS:,} bits")
        if isinstance(value, dict | list):
            inside = value.values() if isinstance(value, dict) else value
            waiting += [(member, depth + 1) for member in inside]


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with the values of `over`; tables are merged key by key.

    Raises:
        UsageError: `over` has a table where `base` has a plain value.
    """
    merged = dict(base)
    for key, value in over.items():
        if isinstance(value, Mapping) and key in merged:
            if not isinstance(merged[key], Mapping):
                raise UsageError(f"{key} is not a table")
            merged[key] = merge(merged[key], value)
        else:
            merged[key] = value
    return merged


def nested(key: str, value: Any) -> dict[str, Any]:
    """Return nested tables that hold a value at a dotted key."""
    for part in reversed(key.split(".")):
        value = {part: value}
    return value

"""Keyword arguments of envs: plain values, checked against a list of what an env allows."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from lunar_offline.errors import UsageError

PlainValue = bool | int | float | str
"""The type of a keyword argument of an env."""

MAX_TEXT = 200
RESERVED = ("id", "max_episode_steps", "disable_env_checker", "render_mode")


@dataclass(frozen=True)
class Allowed:
    """The values that a keyword argument may have.

    Attributes:
        kind: `bool` or `float`; a float may be written as an integer.
        low: the smallest float.
        high: the largest float.
        open: whether `low` and `high` are themselves excluded.
    """

    kind: type[bool] | type[float]
    low: float = -math.inf
    high: float = math.inf
    open: bool = False

    def value(self, name: str, given: object) -> PlainValue:
        """Return a value in its canonical type. Raises UsageError for one that is not allowed."""
        if self.kind is bool and isinstance(given, bool):
            return given
        if self.kind is float and type(given) in (int, float):
            number = float(str(given))
            inside = self.low < number < self.high if self.open else True
            if inside and self.low <= number <= self.high:
                return number
        raise UsageError(f"env kwarg {name} is {self}, not {str(given)[:40]!r}")

    def __str__(self) -> str:
        if self.kind is bool:
            return "true or false"
        kept = "between (exclusive)" if self.open else "between"
        return f"a number {kept} {self.low:g} and {self.high:g}"


def plain_value(name: str, given: object) -> PlainValue:
    """Return a keyword argument that is a plain value. Raises UsageError for any other."""
    if not isinstance(given, bool | int | float | str):
        raise UsageError(f"env kwarg {name[:80]} is not true, false, a number or a text")
    if isinstance(given, float) and not math.isfinite(given):
        raise UsageError(f"env kwarg {name[:80]} is not finite")
    if len(str(given)) > MAX_TEXT:
        raise UsageError(f"env kwarg {name[:80]} is too long")
    return given


def checked_kwargs(
    env_id: str, given: Mapping[str, object], allowed: Mapping[str, Allowed] | None
) -> dict[str, PlainValue]:
    """Return keyword arguments in canonical types.

    Args:
        env_id: the env, for messages.
        given: by name.
        allowed: what each may be; None allows every plain value.

    Raises:
        UsageError: a name or a value is not allowed.
    """
    for name in given:
        if name in RESERVED:
            raise UsageError(f"env kwarg {name} belongs to gym.make, not to an env")
    if allowed is None:
        return {name: plain_value(name, value) for name, value in given.items()}
    for name in given:
        if name not in allowed:
            known = ", ".join(allowed) or "none"
            raise UsageError(f"env kwarg {name[:80]!r} is not one of those of {env_id}: {known}")
    return {name: allowed[name].value(name, value) for name, value in given.items()}


def parse_kwargs(text: str) -> dict[str, PlainValue]:
    """Parse `enable_wind=true,gravity=-8`, the value of `--env-kwargs`.

    Raises:
        UsageError: a part is not NAME=VALUE, or names an argument twice.
    """
    found: dict[str, PlainValue] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not (equals and name.isidentifier()):
            raise UsageError(f"--env-kwargs {text[:80]}: give NAME=VALUE,NAME=VALUE")
        if name in found:
            raise UsageError(f"--env-kwargs {text[:80]}: {name} is given twice")
        found[name] = _parsed(value)
    return found


def format_kwargs(kwargs: Mapping[str, PlainValue]) -> str:
    """Return keyword arguments as `parse_kwargs` reads them."""
    return ",".join(
        f"{name}={str(value).lower() if isinstance(value, bool) else value}"
        for name, value in kwargs.items()
    )


def _parsed(text: str) -> PlainValue:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text

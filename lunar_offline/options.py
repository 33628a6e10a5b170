"""Options, each declared once as a dataclass field.

`option` declares a field's choices, range, unit, help and preset values. Validation, the command
line, config.toml, shell completion and the reference page are derived from these declarations.
"""

import dataclasses
import difflib
import math
import re
import typing
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, TypeVar

from lunar_offline.errors import UsageError

PRESETS = ("best", "paper")
UNSET: Any = object()
PLAIN_TYPES = (str, int, float, bool, tuple[int, ...])

T = TypeVar("T")


@dataclass(frozen=True)
class RunKind:
    """The properties of a run that a preset's value may depend on.

    Attributes:
        discrete: whether the env's actions are discrete.
        rho: the offline fraction, 0 .. 1.
        rho_mode: `batch` or `buffer`, as in `TrainConfig`.
    """

    discrete: bool
    rho: float
    rho_mode: str = "batch"

    @property
    def online(self) -> bool:
        """Whether the run learns from env steps alone (rho 0)."""
        return self.rho == 0.0

    @property
    def offline(self) -> bool:
        """Whether the run learns from the dataset alone (rho 1)."""
        return self.rho == 1.0

    @property
    def mixed(self) -> bool:
        """Whether batches mix offline and online rows."""
        return not (self.online or self.offline)


@dataclass(frozen=True)
class Option:
    """The metadata of an option, in addition to its name, type and default.

    Attributes:
        help: one or two sentences, for the command line and the reference page.
        choices: the allowed values; empty allows any value.
        at_least: smallest allowed value.
        at_most: largest allowed value.
        above: exclusive lower bound.
        unit: unit of the number.
        main: whether the command line offers `--name`; `--set name=value` sets any option.
        panel: heading under which `--help` lists the option.
        only: `online` for an option without effect at rho 1, `offline` for one without effect
            below rho 1; empty otherwise.
        void_if: another option of the same table and the value of it that leaves this one without
            effect.
        implies: another option of the same table, and the value that it gets with this one.
        swept: whether `sweep` has it as `--name` too, with a list of values; `main` then as well.
        completes: the kind of names that shell completion offers, such as `datasets` or `runs`.
        check: is called with the value; raises ValueError for a wrong one, with a message that
            continues the option's name.
        presets: value by preset: a plain value, or a function of RunKind.
    """

    help: str
    choices: tuple[str, ...] = ()
    at_least: float | None = None
    at_most: float | None = None
    above: float | None = None
    unit: str = ""
    main: bool = False
    panel: str = "Learning"
    only: str = ""
    void_if: tuple[str, Any] | None = None
    implies: tuple[str, Any] | None = None
    swept: bool = False
    completes: str = ""
    check: Callable[[Any], None] | None = None
    presets: Mapping[str, Any] = field(default_factory=dict)


def option(default: T, help: str, *, best: Any = UNSET, paper: Any = UNSET, **about: Any) -> T:
    """Declare an option: a dataclass field with its metadata.

    Args:
        default: value if the preset in use sets none.
        help: see `Option`.
        best: value of the preset `best`: a plain value, or a function of RunKind.
        paper: value of the preset `paper`, likewise.
        **about: further fields of `Option`.
    """
    presets = {"best": best, "paper": paper}
    known = {name: value for name, value in presets.items() if value is not UNSET}
    about["main"] = about.get("main", False) or about.get("swept", False)
    metadata = {"option": Option(help, presets=known, **about)}
    return field(default=default, metadata=metadata)


def option_table(help: str, **about: Any) -> Any:
    """Declare an option that is a table of plain values, empty by default; see `option`."""
    # a dict has no hash, and equal configs have equal hashes without it
    return field(default_factory=dict, hash=False, metadata={"option": Option(help, **about)})


def inherited(cls: type, name: str, *, best: Any = UNSET, paper: Any = UNSET) -> Any:
    """Declare an option of a base class again, with other values in the presets that are given."""
    _, default, about = options_of(cls)[name]
    given = {p: value for p, value in (("best", best), ("paper", paper)) if value is not UNSET}
    changed = dataclasses.replace(about, presets={**about.presets, **given})
    return field(default=default, metadata={"option": changed})


@cache
def options_of(cls: type) -> dict[str, tuple[Any, Any, Option]]:
    """Return the type, default and Option of each option of a dataclass, by name."""
    hints = typing.get_type_hints(cls)
    return {
        f.name: (hints[f.name], _default(f), f.metadata["option"])
        for f in dataclasses.fields(cls)
        if "option" in f.metadata
    }


def _default(declared: dataclasses.Field[Any]) -> Any:
    made = declared.default_factory
    return declared.default if made is dataclasses.MISSING else made()


def is_table(kind: Any) -> bool:
    """Return whether the type of an option is a table."""
    return typing.get_origin(kind) is Mapping


def preset_values(cls: type, preset: str, kind: RunKind) -> dict[str, Any]:
    """Return the values that a preset sets for the options of a dataclass, by name."""
    values: dict[str, Any] = {}
    for name, (_, _, about) in options_of(cls).items():
        if preset in about.presets:
            value = about.presets[preset]
            values[name] = value(kind) if callable(value) else value
    return values


def check_ranges(config: Any, table: str = "") -> None:
    """Raise UsageError if an option of a config is outside its choices or its range.

    Args:
        config: a dataclass instance with options.
        table: prefix of the option names in messages, such as `agent.`.
    """
    for name, (_, _, about) in options_of(type(config)).items():
        try:
            check_value(getattr(config, name), about)
        except ValueError as error:
            raise UsageError(f"{table}{name} {error}") from None


def check_value(value: Any, about: Option) -> None:
    """Raise ValueError for a wrong value, with a message that continues the option's name."""
    if about.choices and value not in about.choices:
        hint = did_you_mean(str(value), about.choices)
        raise ValueError(f"{value!r:.80} is not one of {', '.join(about.choices)}{hint}")
    if isinstance(value, int | float) and not isinstance(value, bool):
        _check_number(value, about)
    if about.check is not None:
        about.check(value)


def _check_number(value: float, about: Option) -> None:
    shown = f"{value!s:.20}"
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{shown} is not finite")
    if about.at_least is not None and value < about.at_least:
        raise ValueError(f"{shown} is below {about.at_least}")
    if about.above is not None and value <= about.above:
        raise ValueError(f"{shown} is not above {about.above}")
    if about.at_most is not None and value > about.at_most:
        raise ValueError(f"{shown} is above {about.at_most}")


def typed_values(cls: type, values: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Check keys and types of values against the fields of a dataclass, and return the values.

    An integer is converted where a float is expected, and a list where a tuple is expected. Values
    of fields with other than plain types are not checked.

    Args:
        cls: the dataclass.
        values: by key.
        source: name of their source in messages, such as a path.

    Raises:
        UsageError: a key is unknown (the message suggests the nearest known one), or a value has
            the wrong type.
    """
    hints = typing.get_type_hints(cls)
    known = {f.name for f in dataclasses.fields(cls)}
    for key in values:
        if key not in known:
            raise UsageError(f"{source}: unknown key {key!r:.80}{did_you_mean(key, known)}")
    checked: dict[str, Any] = {}
    for key, value in values.items():
        expected = hints[key]
        if expected is float and type(value) is int and abs(value) < 2**1000:
            value = float(value)
        if expected == tuple[int, ...]:
            if not isinstance(value, list | tuple) or any(type(v) is not int for v in value):
                raise UsageError(f"{source}: {key} is not a list of integers: {value!r:.80}")
            value = tuple(value)
        elif is_table(expected) and not isinstance(value, Mapping):
            raise UsageError(f"{source}: {key} is not a table: {value!r:.80}")
        elif expected in (str, int, float, bool) and type(value) is not expected:
            raise UsageError(f"{source}: {key} is not of type {expected.__name__}: {value!r:.80}")
        checked[key] = value
    return checked


def did_you_mean(given: str, known: Collection[str]) -> str:
    """Return `; did you mean 'NAME'?` with the nearest known name; empty if none is near."""
    near = difflib.get_close_matches(given[:80].lower(), known, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def check_sha256(name: str, value: str) -> None:
    """Raise UsageError unless a value is empty or a sha256 in lower-case hexadecimal digits."""
    if value and not re.fullmatch("[0-9a-f]{64}", value):
        raise UsageError(f"{name} is not 64 hexadecimal digits, in lower case")

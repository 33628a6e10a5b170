"""Command-line options, derived from the library's dataclasses of options."""

import functools
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Annotated, Any

import typer

from lunar_offline.agents.learner import Algorithm
from lunar_offline.agents.registry import algorithms, shipped_algorithms
from lunar_offline.envs.env_kwargs import parse_kwargs
from lunar_offline.errors import UsageError
from lunar_offline.options import UNSET, Option, RunKind, is_table
from lunar_offline.training.run_options import Flags
from lunar_offline_cli import completion

# the kinds of run for which a preset's values may differ, the usual one first
KINDS = (
    ("", RunKind(discrete=True, rho=0.6)),
    ("continuous ", RunKind(discrete=False, rho=0.6)),
    ("rho 0: ", RunKind(discrete=True, rho=0.0)),
    ("rho 1: ", RunKind(discrete=True, rho=1.0)),
)

MOST_CHOICES = 16  # characters of all choices that a metavar shows

Algorithms = Mapping[str, Algorithm]


def swept(flags: Flags) -> Flags:
    """Return those of the options that `sweep` has by name."""
    return {name: found for name, found in flags.items() if found[2].swept}


def shown_default(default: Any, about: Option, preset: str = "best") -> str:
    """Return the default of an option under a preset, as `--help` shows it.

    Values for continuous actions, rho 0 and rho 1 follow where they differ.
    """
    parts: list[str] = []
    usual = UNSET
    for label, kind in KINDS:
        value = about.presets.get(preset, default)
        value = value(kind) if callable(value) else value
        if value != usual:
            parts.append(f"{label}{_shown(value)}")
        usual = value if usual is UNSET else usual
    return "; ".join(parts)


def _shown(value: Any) -> str:
    if value in ("", {}):
        return "none"
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def flag(name: str) -> str:
    """Return the command-line flag of an option."""
    return f"--{name.replace('_', '-')}"


def _help(about: Option, known: Algorithms) -> str:
    names = f" One of {', '.join(sorted(known))}." if about.completes == "algorithms" else ""
    return about.help + names + (f" ({about.unit})" if about.unit else "")


def _metavar(kind: Any, about: Option, *, as_list: bool) -> str | None:
    """Return the name of an option's value in help; None leaves it to the type."""
    if is_table(kind):
        return "NAME=VALUE,..."
    choices = "|".join(about.choices)
    named = "ID" if about.completes in ("datasets", "envs") else None
    found = choices if choices and len(choices) <= MOST_CHOICES else named
    return "VALUE,VALUE" if as_list else found


def _parameter(
    name: str, found: tuple[Any, Any, Option], known: Algorithms, *, as_list: bool
) -> inspect.Parameter:
    kind, default, about = found
    annotation = typer.Option(
        flag(name),
        metavar=_metavar(kind, about, as_list=as_list),
        help=_help(about, known),
        show_default=shown_default(default, about),
        rich_help_panel=about.panel,
        autocompletion=completion.of(about),
    )
    plain = str if as_list or is_table(kind) else kind
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[plain | None, annotation],
    )


def with_options(
    flags_of: Callable[[Algorithms], Flags], *, as_lists: bool = False
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a decorator that adds options to a command; see `CommandWithOptions`.

    The command receives the options that the user gave as the dict `given`, by name. It has the
    options of the algorithms of this package; its attribute `complete` is a function that returns
    the command with those of installed ones too.

    Args:
        flags_of: returns the options by name, given the algorithms.
        as_lists: receive each value as text, for lists of values.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        decorated = _decorated(command, flags_of, shipped_algorithms(), as_lists=as_lists)
        decorated.__dict__["complete"] = lambda: _decorated(
            command, flags_of, algorithms(), as_lists=as_lists
        )
        return decorated

    return decorate


def _decorated(
    command: Callable[..., None],
    flags_of: Callable[[Algorithms], Flags],
    known: Algorithms,
    *,
    as_lists: bool,
) -> Callable[..., None]:
    own = inspect.signature(command, eval_str=True).parameters
    explicit = [parameter for name, parameter in own.items() if name != "given"]
    taken = {flag(name) for name in own} | set(_declared(explicit))
    # an installed algorithm may have an option with the name of one of the command's own, such as
    # --out; `--set agent.out` reaches it
    flags = {name: found for name, found in flags_of(known).items() if flag(name) not in taken}
    derived = [_parameter(name, flags[name], known, as_list=as_lists) for name in flags]

    def parsed(name: str, value: Any) -> Any:
        return parse_kwargs(value) if is_table(flags[name][0]) else value

    @functools.wraps(command)
    def wrapper(**values: Any) -> None:
        texts = {name: values.pop(name) for name in flags}
        given = {name: parsed(name, text) for name, text in texts.items() if text is not None}
        command(given=given, **values)

    keyword = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in explicit]
    signature = inspect.Signature([*derived, *keyword])
    wrapper.__dict__.pop("__wrapped__", None)
    wrapper.__dict__["__signature__"] = signature
    wrapper.__annotations__ = {p.name: p.annotation for p in signature.parameters.values()}
    return wrapper


def _declared(parameters: Iterable[inspect.Parameter]) -> Iterator[str]:
    """Yield the names on the command line that parameters declare."""
    for parameter in parameters:
        for about in getattr(parameter.annotation, "__metadata__", ()):
            # in an annotation, Typer keeps the first name as the default
            names = (getattr(about, "default", None), *(getattr(about, "param_decls", None) or ()))
            for declared in names:
                yield from declared.split("/") if isinstance(declared, str) else ()


def parse_value(text: str) -> Any:
    """Parse a TOML value; any other text is returned as a string."""
    import tomllib

    try:
        return tomllib.loads(f"value = {text.strip()}")["value"]
    except tomllib.TOMLDecodeError:
        return text.strip()


def parse_setting(text: str) -> tuple[str, str]:
    """Split KEY=VALUE. Raises UsageError if there is no equals sign."""
    key, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"--set {text}: give KEY=VALUE")
    return key.strip(), value


def settings_table(settings: Iterable[str]) -> dict[str, Any]:
    """Return the values of several `--set KEY=VALUE` in the layout of config.toml."""
    from lunar_offline.storage.strict_toml import merge, nested

    table: dict[str, Any] = {}
    for setting in settings:
        key, value = parse_setting(setting)
        table = merge(table, nested(key, parse_value(value)))
    return table

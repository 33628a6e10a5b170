"""The classes of the commands: help without noise at 80 columns, and hints at the right option."""

import inspect
import re
import textwrap
import typing
from collections.abc import Iterable
from itertools import zip_longest
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from lunar_offline.errors import UsageError
from lunar_offline_cli import hints

ARGUMENTS, OPTIONS, COMMANDS = "Arguments", "Options", "Commands"
TERM_WIDTH = 24
# names of the values in help, by their type
VALUES = {int: "N", float: "X", str: "NAME", Path: "PATH"}


class Command(TyperCommand):
    """A command whose options exclude their opposites, with hints for misplaced arguments."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return the words of the usage line after the command."""
        arguments = [p for p in self.params if p.param_type_name == "argument"]
        return ["[OPTIONS]", *(_term(self, argument) for argument in arguments)]

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write usage, description, and one section for each panel of options."""
        _write_top(self, ctx, formatter)
        _write_parameters(self, ctx, formatter)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments.

        Raises:
            UsageError: an option and its opposite are given, or an argument is left over.
        """
        if ctx.resilient_parsing:  # shell completion
            return super().parse_args(ctx, args)
        for option in self.params:
            pair = (option.opts[0], *option.secondary_opts[:1])
            if len(pair) == 2 and all(word in args for word in pair):
                raise UsageError(f"{pair[0]} and {pair[1]} cannot be combined; give one of them")
        ctx.allow_extra_args = True  # so that the error below names the right option
        left = super().parse_args(ctx, args)
        if left:
            known = {opt for option in self.params for opt in option.opts}
            raise UsageError(hints.unexpected(left[0], known, ctx.command_path))
        return left


class CommandWithOptions(Command):
    """A command of `with_options`, which reads the options of installed algorithms on first use.

    Reading them may import torch, so `lunar-offline --help` and other commands do without.
    """

    _is_complete = False

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments; see Command."""
        self.get_params(ctx)
        return super().parse_args(ctx, args)

    def get_params(self, ctx: Any) -> list[Any]:
        """Return all parameters."""
        complete = getattr(self.callback, "complete", None)
        if complete is not None and not self._is_complete:
            whole = typer.Typer(add_completion=False)
            whole.command()(complete())
            made = typer.main.get_command(whole)
            self.params, self.callback = made.params, made.callback
        self._is_complete = True
        return super().get_params(ctx)


class Group(TyperGroup):
    """A group of commands."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write usage, description, and one section for each panel of commands."""
        _write_top(self, ctx, formatter)
        panels: dict[str, list[tuple[str, str]]] = {}
        for name in self.list_commands(ctx):
            command: Any = self.get_command(ctx, name)
            first = inspect.cleandoc(command.help or "").split("\n\n")[0].replace("\n", " ")
            panels.setdefault(_panel(command, COMMANDS), []).append((name, first))
        width = max(len(name) for rows in panels.values() for name, _ in rows)
        for title, rows in panels.items():
            _write_section(formatter, title, rows, width)
        _write_parameters(self, ctx, formatter)


def _write_top(command: Any, ctx: Any, formatter: Any) -> None:
    command.format_usage(ctx, formatter)
    formatter.write_paragraph()
    formatter.write_text(inspect.cleandoc(command.help or ""))


def _write_section(formatter: Any, title: str, rows: Iterable[tuple[str, str]], width: int) -> None:
    formatter.write_paragraph()
    formatter.write(typer.style(title, bold=True) + "\n")
    for term, text in rows:
        # a default stays on one line, and no name is broken at a hyphen
        kept = re.sub(r"\[default: [^]]{,40}\]", lambda m: m[0].replace(" ", "\0"), text)
        lines = textwrap.wrap(kept, formatter.width - width - 4, break_on_hyphens=False) or [""]
        head = [f"  {term}"] if len(term) > width else []
        first = "" if head else term
        head += [
            f"  {word:<{width}}  {line}" for word, line in zip_longest([first], lines, fillvalue="")
        ]
        formatter.write("".join(line.rstrip().replace("\0", " ") + "\n" for line in head))


def _panel(shown: Any, usual: str) -> str:
    panel = getattr(shown, "rich_help_panel", None)
    return panel if isinstance(panel, str) else usual


def _write_parameters(command: Any, ctx: Any, formatter: Any) -> None:
    """Write a section for each panel of parameters; the general options come last."""
    panels: dict[str, list[tuple[str, str]]] = {ARGUMENTS: []}
    last: list[tuple[str, str]] = []
    for parameter in command.get_params(ctx):
        if parameter.hidden:
            continue
        usual = ARGUMENTS if parameter.param_type_name == "argument" else OPTIONS
        panel = _panel(parameter, usual)
        rows = last if panel == OPTIONS else panels.setdefault(panel, [])
        rows.append((_term(command, parameter), _text(parameter)))
    for title, rows in (*panels.items(), (OPTIONS, last)):
        if rows:
            _write_section(formatter, title, rows, TERM_WIDTH)


def _term(command: Any, parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return value_name(command, parameter) + ("..." if parameter.nargs == -1 else "")
    words = sorted([*parameter.opts, *parameter.secondary_opts], key=lambda w: w.startswith("--"))
    if parameter.secondary_opts:
        return "/".join(words)
    value = "" if parameter.is_flag else value_name(command, parameter)
    return f"{', '.join(words)} {value}".strip()


def value_name(command: Any, parameter: Any) -> str:
    """Return the name of a parameter's value in help: its metavar, or one that its type gives."""
    if parameter.metavar:
        return parameter.metavar
    if parameter.param_type_name == "argument":
        return parameter.name.upper()
    kinds = [kind for kind in _plain_types(command, parameter.name) if kind in VALUES]
    return VALUES[kinds[0]] if kinds else "NAME"


def _plain_types(command: Any, name: str) -> tuple[Any, ...]:
    """Return the type of a parameter of a command's function, without Annotated and None."""
    found = inspect.signature(command.callback).parameters.get(name)
    hint = found.annotation if found else None
    while typing.get_origin(hint) is typing.Annotated:
        hint = typing.get_args(hint)[0]
    return typing.get_args(hint) or (hint,)


def _text(parameter: Any) -> str:
    """Return the help of a parameter, with its default if there is one."""
    text = getattr(parameter, "help", None) or ""
    shown, default = getattr(parameter, "show_default", False), parameter.default
    if isinstance(shown, str):
        default = shown
    elif not shown or default is None or callable(default) or isinstance(default, bool):
        default = ""
    return f"{text} [default: {default}]" if str(default) not in ("", "none", "()") else text

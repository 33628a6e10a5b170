"""The Typer app: groups the commands and turns errors into one line and an exit code."""

import errno
import os
import signal
import sys
import warnings
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from lunar_offline.errors import LunarOfflineError, LunarOfflineWarning
from lunar_offline_cli import hints
from lunar_offline_cli.command import Command, CommandWithOptions, Group
from lunar_offline_cli.commands import (
    collect,
    dataset,
    demo,
    diagnose,
    evaluate,
    share,
    stats,
    sweep,
    train,
    video,
)
from lunar_offline_cli.messages import print_line

app = typer.Typer(
    name="lunar-offline",
    cls=Group,
    help="Offline datasets and CQL-SAC for Gymnasium's LunarLander-v3, built on Minari.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

# Typer includes its own copy of Click from 0.16 on; this is the base class of the copy in use
ClickError: type[Any] = next(
    c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException"
)

START, DATA, LEARN, LOOK = "Start here", "Data", "Learning", "Inspection"
app.command(cls=Command, rich_help_panel=START)(demo.demo)
app.command(cls=Command, rich_help_panel=DATA)(collect.collect)
app.add_typer(dataset.app, name="dataset", rich_help_panel=DATA)
app.command(cls=Command, rich_help_panel=DATA)(share.share)
app.command(cls=Command, rich_help_panel=DATA)(share.fetch)
app.command(cls=CommandWithOptions, rich_help_panel=LEARN)(train.train)
app.command(cls=Command, rich_help_panel=LEARN)(evaluate.evaluate)
app.command(cls=CommandWithOptions, rich_help_panel=LEARN)(sweep.sweep)
app.command(cls=Command, rich_help_panel=LEARN)(stats.stats)
app.command(cls=Command, rich_help_panel=LOOK)(video.video)
app.command(cls=Command, rich_help_panel=LOOK)(diagnose.diagnose)


def _print_version(value: bool) -> None:
    if value:
        from lunar_offline import __version__

        typer.echo(f"lunar-offline {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    try:
        Path.cwd()
    except FileNotFoundError:  # torch's libraries would abort the process
        raise LunarOfflineError(
            "the working directory no longer exists; change to an existing one"
        ) from None


def _fail(message: str, code: int) -> NoReturn:
    print_line(f"lunar-offline: {message}")
    raise SystemExit(code)


def _terminate(*_: Any) -> NoReturn:
    raise SystemExit(143)


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    print_line(f"lunar-offline: {message}")


def silence_libraries() -> None:
    """Keep the warnings and banners of libraries off the terminal, unless `python -W` asks."""
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    if not sys.warnoptions:
        sys.warnoptions.append("ignore")  # for the processes that this one starts
        warnings.simplefilter("ignore")


def _usage_message(error: Any) -> str:
    """Return the message of an error of Typer's parser, with a hint at what was meant."""
    name, context = type(error).__name__, getattr(error, "ctx", None)
    if name == "NoSuchOption" and context is not None:
        return hints.unknown_option(error.option_name, context.command)
    message = error.format_message()
    if message.startswith("No such command") and context is not None:
        return hints.unknown_command(message.split("'")[1], context.command.commands)
    return message


def main() -> NoReturn:
    """Run the app; every user error prints one line and exits with its code."""
    silence_libraries()
    warnings.filterwarnings("always", category=LunarOfflineWarning)
    warnings.showwarning = _show_warning
    signal.signal(signal.SIGTERM, _terminate)
    try:
        code = app(standalone_mode=False, prog_name="lunar-offline")
    except LunarOfflineError as error:
        _fail(str(error), error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        _fail("interrupted", 130)
    except OSError as error:
        code = 2 if error.errno == errno.ENAMETOOLONG else 1
        _fail(f"{error.strerror or error}: {error.filename or ''}".rstrip(": "), code)
    except Exception as error:
        if not isinstance(error, ClickError):
            raise
        usage: Any = error
        if type(usage).__name__ == "NoArgsIsHelpError":
            typer.echo(usage.ctx.get_help())
            raise SystemExit(0) from None
        _fail(_usage_message(usage), usage.exit_code)
    if code == 130:  # Typer's exit code for Ctrl-C
        _fail("interrupted", code)
    raise SystemExit(code or 0)

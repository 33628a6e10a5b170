"""The command `lunar-offline train`."""

import json
import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from lunar_offline.errors import LunarOfflineError, UsageError
from lunar_offline.training.run_options import (
    agent_options,
    as_table,
    default_run_path,
    implied,
    run_options,
)
from lunar_offline.training.trackers.registry import check_installed, parse_trackers
from lunar_offline_cli import completion
from lunar_offline_cli.messages import print_line
from lunar_offline_cli.options_from_config import flag, settings_table, with_options
from lunar_offline_cli.shared_options import AsJson, Discrete, Quiet, Trackers

PANEL = "The run"


@with_options(lambda known: {**run_options(), **agent_options(known)})
def train(
    *,
    given: dict[str, Any],
    discrete: Discrete = None,
    config: Annotated[
        Path | None,
        typer.Option(
            help="TOML file with any keys of a run's config.toml.",
            show_default="none",
            rich_help_panel=PANEL,
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            autocompletion=completion.keys,
            help="A value for any key of config.toml, such as agent.discount=0.99; repeatable.",
            show_default=False,
            rich_help_panel=PANEL,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="New run directory.", show_default="runs/NAME", rich_help_panel=PANEL),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(
            help="Continue this run directory, which states every option but --tracker.",
            show_default="none",
            rich_help_panel=PANEL,
            autocompletion=completion.runs,
        ),
    ] = None,
    tracker: Trackers = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Train CQL-SAC or another algorithm on a dataset."""
    trackers = parse_trackers(tracker) if tracker else None
    check_installed(trackers or ())
    if resume is not None:
        from lunar_offline.envs.registry import find_env

        if "env" in given:  # known from here on; the run states it
            find_env(given.pop("env"), settings=given.pop("env_kwargs", None))
        alone = {flag(name) for name in given}
        alone |= {flag(n) for n, v in (("config", config), ("out", out)) if v is not None}
        alone |= {"--discrete/--continuous"} if discrete is not None else set()
        alone |= {"--set"} if settings else set()
        if alone:
            others = ", ".join(sorted(alone))
            raise UsageError(f"--resume takes the other options from the run; leave out {others}")
        _run(resume, None, trackers=trackers, quiet=quiet, as_json=as_json)
        return
    from lunar_offline.storage.strict_toml import merge, read_toml
    from lunar_offline.training.resolve_config import resolve_run

    file = read_toml(config) if config else {}
    options = merge({"agent": implied(given)}, settings_table(settings or []))
    options = merge(options, as_table(given))
    resolved = resolve_run(discrete=discrete, file=file, options=options)
    if out is None:
        out = default_run_path(resolved[0])
    _run(out, resolved, trackers=trackers, quiet=quiet, as_json=as_json)


def _run(
    out: Path,
    resolved: Any,
    *,
    trackers: tuple[str, ...] | None,
    quiet: bool,
    as_json: bool,
) -> None:
    from lunar_offline.process_pool import usable_cores
    from lunar_offline.training.start_or_resume import resume, start, train_and_finish
    from lunar_offline_cli.commands.evaluate import describe
    from lunar_offline_cli.console import Bars

    again = f"continue with: lunar-offline train --resume {shlex.quote(str(out))}"
    with Bars(quiet=quiet or as_json) as bars:
        if resolved is None:
            training = resume(out, bars, trackers=trackers)
        else:
            config, folder = resolved
            training = start(config, out, bars, folder=folder, trackers=trackers)
        for line in training.notes:
            print_line(line)
        try:
            summary = train_and_finish(training, bars, workers=usable_cores())
        except (KeyboardInterrupt, SystemExit):
            print_line(f"stopped; {again}")
            raise
        except OSError as error:
            named = f"{error.filename}: {error.strerror}" if error.filename else str(error)
            raise LunarOfflineError(f"{named}; {again}") from None
    if as_json:
        typer.echo(json.dumps({"run": str(out), "evaluation": summary and summary.to_dict()}))
        return
    if summary:
        typer.echo(describe(summary))
    run = shlex.quote(str(out))
    following = f"lunar-offline video {run}" if summary else f"lunar-offline evaluate {run}"
    typer.echo(f"run in {out}; next: {following}")

"""The command `lunar-offline sweep`."""

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from lunar_offline.training.run_options import agent_options, run_options
from lunar_offline.training.trackers.registry import parse_trackers
from lunar_offline_cli import completion
from lunar_offline_cli.commands.stats import stats
from lunar_offline_cli.options_from_config import parse_setting, parse_value, swept, with_options
from lunar_offline_cli.shared_options import AsJson, Discrete, Quiet, Trackers


def _axis(key: str, text: str) -> dict[str, list[Any]]:
    if "[" in text:  # a list contains commas itself
        return {key: parse_value(f"[{text}]")}
    return {key: [parse_value(part) for part in text.split(",")]}


@with_options(lambda known: swept({**run_options(), **agent_options(known)}), as_lists=True)
def sweep(
    *,
    given: dict[str, Any],
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE,VALUE",
            autocompletion=completion.keys,
            help="Values for any key of config.toml, such as agent.discount; repeatable.",
            show_default=False,
        ),
    ] = None,
    seeds: Annotated[
        int, typer.Option(help="Number of seeds, 0 .. N-1, for each point of the grid.")
    ] = 10,
    config: Annotated[
        Path | None,
        typer.Option(help="TOML file with values for all runs.", show_default="none"),
    ] = None,
    discrete: Discrete = None,
    jobs: Annotated[
        int | None,
        typer.Option(help="Number of parallel runs, one thread each.", show_default="all cores"),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of the runs.")] = Path("runs/sweep"),
    tracker: Trackers = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Train a grid of options and seeds; separate the values of an option with commas.

    The same command continues an interrupted sweep.
    """
    from lunar_offline.process_pool import usable_cores
    from lunar_offline.storage.strict_toml import read_toml
    from lunar_offline.studies.local_executor import LocalExecutor
    from lunar_offline.studies.sweep import plan
    from lunar_offline.studies.sweep import sweep as run
    from lunar_offline_cli.console import Bars

    axes: dict[str, list[Any]] = {}
    for name, text in given.items():
        axes |= _axis(name if name in run_options() else f"agent.{name}", text)
    for setting in settings or []:
        axes |= _axis(*parse_setting(setting))
    planned = plan(
        out,
        axes,
        seeds,
        file=read_toml(config) if config else {},
        discrete=discrete,
        trackers=parse_trackers(tracker) if tracker else None,
    )
    executor = LocalExecutor(usable_cores() if jobs is None else jobs)
    with Bars(quiet=quiet or as_json) as bars:
        try:
            failed = run(planned, executor, bars)
        except (KeyboardInterrupt, SystemExit):
            typer.echo("stopped; run the same command to continue", err=True)
            raise
    for name, error in failed.items():
        typer.echo(f"failed: {name}: {error}", err=True)
    if len(failed) < len(planned):
        stats([job.path for job in planned if job.finished], as_json=as_json)
    if failed:
        raise typer.Exit(1)
    if not as_json:
        typer.echo(
            f"runs in {out}; show this table again: lunar-offline stats {shlex.quote(str(out))}"
        )

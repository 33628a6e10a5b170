"""`lunar-offline sweep` and `lunar-offline stats`."""

import json
import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from lunar_offline.errors import UsageError


def _list_of(text: str | None, key: str) -> dict[str, list[Any]]:
    return {key: [_value(part) for part in text.split(",")]} if text is not None else {}


def _value(text: str) -> Any:
    """Read a TOML value; what is none is a string."""
    import tomllib

    try:
        return tomllib.loads(f"value = {text.strip()}")["value"]
    except tomllib.TOMLDecodeError:
        return text.strip()


def _setting(text: str) -> dict[str, list[Any]]:
    key, equals, values = text.partition("=")
    if not equals:
        raise UsageError(f"--set {text}: KEY=VALUE,VALUE is wanted")
    if "[" in values:  # lists hold commas of their own
        return {key: _value(f"[{values}]")}
    return _list_of(values, key)


def sweep(
    dataset: Annotated[
        str | None, typer.Option(help="Minari dataset ids.", show_default="none")
    ] = None,
    rho: Annotated[str | None, typer.Option(help="Offline fractions.", show_default="0.6")] = None,
    algorithm: Annotated[
        str | None, typer.Option(help="Algorithms.", show_default="cql-sac")
    ] = None,
    penalty: Annotated[str | None, typer.Option(help="Penalties.", show_default="cql-h")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="KEY=VALUE,VALUE: any key of config.toml, agent.discount too; repeatable.",
            show_default=False,
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(help="Seeds 0 .. N-1 of each point.")] = 10,
    config: Annotated[
        Path | None,
        typer.Option(help="TOML with values for all runs.", show_default="none"),
    ] = None,
    discrete: Annotated[
        bool | None,
        typer.Option(
            "--discrete/--continuous",
            help="Action space, without a dataset.",
            show_default="discrete",
        ),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(help="Runs at a time, one thread each.", show_default="all cores"),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of the runs.")] = Path("runs/sweep"),
    as_json: Annotated[bool, typer.Option("--json", help="Print the statistics as JSON.")] = False,
) -> None:
    """Train a grid of options and seeds; lists are separated by commas.

    The same command continues a sweep that was stopped.
    """
    from lunar_offline.data.workers import usable_cores
    from lunar_offline.experiment.config import read_toml
    from lunar_offline.experiment.sweep import LocalPool, plan
    from lunar_offline.experiment.sweep import sweep as run
    from lunar_offline_cli.console import Bars

    axes = _list_of(dataset, "dataset") | _list_of(rho, "rho") | _list_of(algorithm, "algorithm")
    axes |= _list_of(penalty, "penalty")
    for setting in settings or []:
        axes |= _setting(setting)
    planned = plan(out, axes, seeds, file=read_toml(config) if config else {}, discrete=discrete)
    pool = LocalPool(usable_cores() if jobs is None else jobs)
    with Bars(quiet=as_json) as bars:
        try:
            failed = run(planned, pool, bars)
        except (KeyboardInterrupt, SystemExit):
            typer.echo("stopped; the same command continues", err=True)
            raise
    for name, error in failed.items():
        typer.echo(f"failed: {name}: {error}", err=True)
    if len(failed) < len(planned):
        stats([job.path for job in planned if job.finished], as_json=as_json)
    if failed:
        raise typer.Exit(1)
    if not as_json:
        typer.echo(f"runs in {out}; again: lunar-offline stats {shlex.quote(str(out))}")


def stats(
    runs: Annotated[
        list[Path], typer.Argument(help="Run directories, or sweeps.", show_default=False)
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare finished runs: IQM over seeds, bootstrap intervals, probability of improvement."""
    from lunar_offline.experiment.compare import HEADINGS, cells, group_runs, read_runs, rows

    table = rows(group_runs(read_runs(runs)))
    if as_json:
        typer.echo(json.dumps(table))
        return
    typer.echo(f"| {' | '.join(HEADINGS)} |\n| --- |{' ---: |' * (len(HEADINGS) - 1)}")
    for row in table:
        typer.echo(f"| {' | '.join(cells(row))} |")

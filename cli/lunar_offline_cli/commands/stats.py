"""The command `lunar-offline stats`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from lunar_offline_cli.shared_options import AsJson


def stats(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN...", help="Run directories, or sweeps.", show_default=False),
    ],
    as_json: AsJson = False,
) -> None:
    """Compare finished runs: IQM over seeds, bootstrap intervals, probability of improvement."""
    from lunar_offline.studies.compare import HEADINGS, cells, group_runs, read_runs, rows

    table = rows(group_runs(read_runs(runs)))
    if as_json:
        typer.echo(json.dumps(table))
        return
    typer.echo(f"| {' | '.join(HEADINGS)} |\n| --- |{' ---: |' * (len(HEADINGS) - 1)}")
    for row in table:
        typer.echo(f"| {' | '.join(cells(row))} |")

"""The command `lunar-offline stats`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from lunar_offline_cli import completion
from lunar_offline_cli.shared_options import AsJson
from lunar_offline_cli.tables import aligned


def stats(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN",
            help="Run directories, or sweeps.",
            autocompletion=completion.comparable,
            show_default=False,
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Compare finished runs: IQM over seeds, bootstrap intervals, probability of improvement."""
    from lunar_offline.studies.compare import HEADINGS, cells, compare_runs

    found = compare_runs(runs)
    if as_json:
        typer.echo(json.dumps([row.to_dict() for row in found]))
        return
    columns = zip(HEADINGS, *(cells(row) for row in found), strict=True)
    shown = [column for column in columns if set(column[1:]) - {"-", ""}]  # the env has the measure
    headings, *lines = zip(*shown, strict=True)
    typer.echo(aligned(headings, lines))

"""`lunar-offline diagnose`."""

import json
from pathlib import Path
from typing import Annotated

import typer


def diagnose(
    run: Annotated[Path, typer.Argument(help="A run directory.", show_default=False)],
    states: Annotated[int, typer.Option(help="Starts of each kind.")] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="Print diagnosis.json.")] = False,
) -> None:
    """Compare what a run's critics predict with what its policy gets (CQL paper, Table 4)."""
    from lunar_offline.experiment.diagnose import diagnose as compare
    from lunar_offline_cli.console import Bars

    with Bars(quiet=as_json) as bars:
        result = compare(run, states=states, observer=bars)
    if as_json:
        typer.echo(json.dumps(result))
        return
    for kind, found in result.items():
        typer.echo(
            f"{kind} states: predicted {found['predicted']:.1f}, true {found['true']:.1f}, "
            f"gap {found['gap']:+.1f} [{found['gap_low']:+.1f}, {found['gap_high']:+.1f}]"
        )
    typer.echo(f"discounted and soft, in {run / 'diagnosis.json'}")

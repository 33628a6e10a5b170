"""The command `lunar-offline diagnose`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from lunar_offline_cli import completion
from lunar_offline_cli.shared_options import AsJson, EnvId, EnvKwargs, Quiet, name_env


def diagnose(
    run: Annotated[
        Path,
        typer.Argument(help="A run directory.", show_default=False, autocompletion=completion.runs),
    ],
    states: Annotated[int, typer.Option(help="Number of start states of each kind.")] = 100,
    env: EnvId = None,
    env_kwargs: EnvKwargs = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Compare the learned values with the policy's true returns (CQL paper, Table 4)."""
    from lunar_offline.studies.value_gap import diagnose as compare
    from lunar_offline.training.run_folder import RunFolder
    from lunar_offline_cli.console import Bars

    name_env(env, env_kwargs)
    with Bars(quiet=quiet or as_json) as bars:
        result = compare(RunFolder.open(run), states=states, observer=bars)
    if as_json:
        typer.echo(json.dumps(result))
        return
    for kind, found in result.items():
        typer.echo(
            f"{kind} states: predicted {found['predicted']:.1f}, true {found['true']:.1f}, "
            f"gap {found['gap']:+.1f} [{found['gap_low']:+.1f}, {found['gap_high']:+.1f}]"
        )
    typer.echo(
        "values are discounted, and include the entropy bonus if the algorithm has one; wrote "
        f"{run / 'diagnosis.json'}"
    )

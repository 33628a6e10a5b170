"""`lunar-offline dataset ...`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from lunar_offline_cli.text import printable

app = typer.Typer(help="List and show datasets, safely.", no_args_is_help=True)


@app.command("list")
def list_(
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list.")] = False,
) -> None:
    """List the local datasets; one that cannot be read comes with the reason."""
    from lunar_offline.experiment.catalogue import list_datasets

    rows = list_datasets()
    if as_json:
        typer.echo(json.dumps(rows))
        return
    for row in rows:
        if "refused" in row:
            typer.echo(printable(f"{row['dataset_id']:<32} refused: {row['refused']}"))
            continue
        typer.echo(
            f"{row['dataset_id']:<32} {row['actions']:<11} {row['episodes']:>7,} episodes "
            f"{row['steps']:>11,} steps"
        )
    if not rows:
        typer.echo("no datasets yet; make one with: lunar-offline collect")


@app.command()
def show(
    dataset: Annotated[str, typer.Argument(help="Dataset id.", show_default=False)],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    html: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write one HTML page with figures instead; it needs no network.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Show a dataset's contents, statistics and provenance; runs nothing of it."""
    from lunar_offline.errors import UsageError
    from lunar_offline.experiment.catalogue import show_dataset

    if html is not None:
        from lunar_offline.experiment.dataset_page import write_page

        if as_json:
            raise UsageError("--html and --json: give one of them")
        size = write_page(dataset, html)
        typer.echo(f"{html}: the page of {dataset}, {size / 1e6:.2f} MB; open it in a browser")
        return
    shown = show_dataset(dataset)
    if as_json:
        typer.echo(json.dumps(shown))
        return
    for key, value in shown.items():
        text = value if isinstance(value, str) else json.dumps(value)
        typer.echo(printable(f"{key:<20} {text}"))


@app.command()
def pack(
    dataset: Annotated[str, typer.Argument(help="Dataset id.", show_default=False)],
    env: Annotated[
        str | None, typer.Option(help="Env of a dataset that is not LunarLander's.")
    ] = None,
) -> None:
    """Make a dataset's flat, memory-mapped cache now; else its first use does."""
    from lunar_offline.data.reader import read_dataset
    from lunar_offline.envs import named_env

    packed = read_dataset(dataset, named_env(env) if env else None)
    typer.echo(f"{dataset}: {len(packed.transitions):,} rows in {packed.cache}")


@app.command()
def verify(
    dataset: Annotated[str, typer.Argument(help="Dataset id.", show_default=False)],
    replay: Annotated[
        str, typer.Option(help="Episodes to replay in the env: a number, or all.")
    ] = "0",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check a dataset against its manifest, and replay it in the env bit for bit."""
    import dataclasses

    from lunar_offline.data.workers import usable_cores
    from lunar_offline.errors import UsageError
    from lunar_offline.experiment.verify import verify_dataset
    from lunar_offline_cli.console import Bars

    if replay != "all" and not replay.isdecimal():
        raise UsageError(f"--replay {replay}: a number of episodes, or all")
    with Bars(quiet=as_json) as bars:
        verified = verify_dataset(
            dataset,
            replay=None if replay == "all" else int(replay),
            workers=usable_cores(),
            observer=bars,
        )
    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(verified)))
        return
    n = verified.replayed
    replayed = f"{n} episodes replayed, every bit the same" if n else "none replayed: --replay all"
    typer.echo(f"{dataset}: {verified.files} files match the manifest; {replayed}")

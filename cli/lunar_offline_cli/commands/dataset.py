"""The commands `lunar-offline dataset ...`."""

import dataclasses
import json
from pathlib import Path
from typing import Annotated, Any

import typer

from lunar_offline_cli.command import Command, Group
from lunar_offline_cli.messages import printable
from lunar_offline_cli.shared_options import AsJson, DatasetId, EnvId, Quiet

app = typer.Typer(
    cls=Group,
    help="List, show, pack and verify local datasets. No command runs code that a dataset names.",
    no_args_is_help=True,
)


def _open(dataset: str, env: str | None) -> Any:
    from lunar_offline.datasets.folder import open_folder
    from lunar_offline.envs.registry import unregistered_env

    return open_folder(dataset, unregistered_env(env))


@app.command("list", cls=Command)
def list_(as_json: AsJson = False) -> None:
    """List the local datasets. An unreadable dataset is listed with the reason."""
    from lunar_offline.datasets.listing import list_datasets

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


@app.command(cls=Command)
def show(
    dataset: DatasetId,
    env: EnvId = None,
    html: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write an HTML page with figures instead; the page needs no network.",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show the contents, statistics and provenance of a dataset."""
    from lunar_offline.datasets.listing import show_dataset
    from lunar_offline.errors import UsageError

    if html is not None and as_json:
        raise UsageError("--html and --json: give only one of them")
    folder = _open(dataset, env)
    if html is not None:
        from lunar_offline.datasets.page.page import write_page

        size = write_page(folder, html)
        typer.echo(
            f"{html}: wrote the page of {dataset}, {size / 1e6:.2f} MB; open it in a browser"
        )
        return
    shown = show_dataset(folder)
    if as_json:
        typer.echo(json.dumps(shown))
        return
    for key, value in shown.items():
        text = value if isinstance(value, str) else json.dumps(value)
        typer.echo(printable(f"{key:<20} {text}"))


@app.command(cls=Command)
def pack(dataset: DatasetId, env: EnvId = None, as_json: AsJson = False) -> None:
    """Make the memory-mapped cache of a dataset now instead of at its first use."""
    from lunar_offline.datasets.dataset import read_folder

    packed = read_folder(_open(dataset, env))
    if as_json:
        found = {"dataset_id": packed.id, "rows": len(packed.transitions)}
        typer.echo(json.dumps(found | {"cache": str(packed.cache), "sha256": packed.sha256}))
        return
    typer.echo(f"{dataset}: {len(packed.transitions):,} rows in {packed.cache}")


@app.command(cls=Command)
def verify(
    dataset: DatasetId,
    replay: Annotated[
        str, typer.Option(help="Episodes to replay in the env: a number, or all.")
    ] = "0",
    env: EnvId = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Check a dataset against its manifest, and compare replayed episodes bit for bit."""
    from lunar_offline.datasets.verify import verify_dataset
    from lunar_offline.errors import UsageError
    from lunar_offline.process_pool import usable_cores
    from lunar_offline_cli.console import Bars

    if replay != "all" and not replay.isdecimal():
        raise UsageError(f"--replay {replay}: give a number of episodes, or all")
    with Bars(quiet=quiet or as_json) as bars:
        verified = verify_dataset(
            _open(dataset, env),
            replay=None if replay == "all" else int(replay),
            workers=usable_cores(),
            observer=bars,
        )
    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(verified)))
        return
    n = verified.replayed
    replayed = (
        f"{n} episodes replayed bit-identically" if n else "no episode replayed; use --replay all"
    )
    typer.echo(f"{dataset}: {verified.files} files match the manifest; {replayed}")

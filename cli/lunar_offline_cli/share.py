"""`lunar-offline share` and `lunar-offline fetch`."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Annotated, Any

import typer

Remote = Annotated[
    str | None,
    typer.Option(envvar="MINARI_REMOTE", help="hf://USER or gcp://BUCKET.", show_default="none"),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


def share(
    dataset: Annotated[str, typer.Argument(help="Local dataset id.", show_default=False)],
    remote: Remote = None,
    remote_id: Annotated[
        str | None,
        typer.Option(
            "--as",
            help="Id to have there; on hf it needs a namespace: box2d/lunar-sac-v0.",
            show_default="the same",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be sent; ask nobody.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Send a dataset to where `minari download` finds it, and compare every sha256 there.

    The token comes from HF_TOKEN, for gcp from the key file in GOOGLE_APPLICATION_CREDENTIALS.

    The same command completes a transfer that was stopped; what is published never changes.
    """
    from lunar_offline.experiment.share import share_dataset
    from lunar_offline_cli.console import Bars

    with Bars(quiet=as_json) as bars:
        shared = share_dataset(
            dataset, remote=remote, remote_id=remote_id, dry_run=dry_run, observer=bars
        )
    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(shared)))
        return
    _print_files(shared.files)
    there = f"{shared.remote}/{shared.remote_id}"
    if dry_run:
        typer.echo(f"dry run: these would be sent to {there}; nothing was")
        return
    if shared.sent or shared.announced:
        count = f"{len(shared.sent)} of {len(shared.files)} files sent"
        typer.echo(f"{there}: {count}, read back with the same sha256")
    else:
        typer.echo(f"{there} stands already with the same sha256; nothing was sent")
    typer.echo(f"next: lunar-offline fetch {shared.remote_id} --remote {shared.remote}")


def fetch(
    dataset: Annotated[str, typer.Argument(help="Dataset id there and here.", show_default=False)],
    remote: Remote = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would come; take nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Take a shared dataset, check every sha256 and read it strictly; runs nothing of it.

    A public one needs no token; for a private one it comes from where `share` has it.
    """
    from lunar_offline.experiment.fetch import fetch_dataset
    from lunar_offline_cli.console import Bars

    with Bars(quiet=as_json) as bars:
        fetched = fetch_dataset(dataset, remote=remote, dry_run=dry_run, observer=bars)
    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(fetched) | {"path": str(fetched.path)}))
        return
    _print_files(fetched.files)
    here = f"{fetched.dataset_id} from {fetched.remote}"
    if dry_run:
        typer.echo(f"dry run: this would be {here}; nothing came")
        return
    if fetched.was_there:
        typer.echo(f"{here} stands here already with the same sha256; nothing was done")
    elif fetched.manifest:
        typer.echo(f"{here}: every sha256 is the one of its manifest")
    else:
        typer.echo(f"{here}: it has no manifest; main_data.hdf5 has sha256 {fetched.sha256}")
    typer.echo(f"in {fetched.path}")
    typer.echo(f"next: lunar-offline train --dataset {fetched.dataset_id} --rho 0.6")


def _print_files(files: Mapping[str, Mapping[str, Any]]) -> None:
    for name, file in files.items():
        typer.echo(f"{name:<20} {file['bytes']:>13,} bytes  {file.get('sha256', '')}".rstrip())

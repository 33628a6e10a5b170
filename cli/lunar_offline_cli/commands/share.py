"""The commands `lunar-offline share` and `lunar-offline fetch`."""

import json
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from lunar_offline_cli import completion
from lunar_offline_cli.shared_options import AsJson, DatasetId, EnvId, EnvKwargs, Quiet, name_env

Remote = Annotated[
    str | None,
    typer.Option(
        envvar="MINARI_REMOTE",
        metavar="REMOTE",
        help="hf://USER or gcp://BUCKET.",
        show_default="$MINARI_REMOTE",
        autocompletion=completion.one_of("hf://", "gcp://"),
    ),
]


def share(
    dataset: DatasetId,
    remote: Remote = None,
    remote_id: Annotated[
        str | None,
        typer.Option(
            "--as",
            help="Id on the remote; on hf it needs a namespace, such as box2d/lunar-sac-v0.",
            show_default="the local id",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List the files that would be sent; send nothing.")
    ] = False,
    env: EnvId = None,
    env_kwargs: EnvKwargs = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Upload a dataset so that `minari download` finds it, and compare every sha256.

    The token is read from HF_TOKEN; for gcp, GOOGLE_APPLICATION_CREDENTIALS names the key file.

    The same command completes an interrupted upload. A published dataset never changes.
    """
    from lunar_offline.datasets.hub.share import share_dataset
    from lunar_offline_cli.console import Bars

    name_env(env, env_kwargs)
    with Bars(quiet=quiet or as_json) as bars:
        shared = share_dataset(
            dataset, remote=remote, remote_id=remote_id, dry_run=dry_run, observer=bars
        )
    if as_json:
        typer.echo(json.dumps(shared.to_dict()))
        return
    _print_files(shared.files)
    there = f"{shared.remote}/{shared.remote_id}"
    if dry_run:
        typer.echo(f"dry run: these files would be sent to {there}; nothing was sent")
        return
    if shared.sent or shared.announced:
        count = f"{len(shared.sent)} of {len(shared.files)} files sent"
        typer.echo(f"{there}: {count}; every sha256 on the remote matches")
    else:
        typer.echo(f"{there} already exists with the same sha256; nothing was sent")
    typer.echo(f"next: lunar-offline fetch {shared.remote_id} --remote {shared.remote}")


def fetch(
    dataset: Annotated[
        str, typer.Argument(help="Dataset id, on the remote and locally.", show_default=False)
    ],
    remote: Remote = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List the files that would be fetched; fetch nothing.")
    ] = False,
    env: EnvId = None,
    env_kwargs: EnvKwargs = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Download a shared dataset, check every sha256 and validate its contents.

    No code that the dataset names is run. A public dataset needs no token; a private one needs the
    same token as `share`.
    """
    from lunar_offline.datasets.hub.fetch import fetch_dataset
    from lunar_offline_cli.console import Bars

    name_env(env, env_kwargs)
    with Bars(quiet=quiet or as_json) as bars:
        fetched = fetch_dataset(dataset, remote=remote, dry_run=dry_run, observer=bars)
    if as_json:
        typer.echo(json.dumps(fetched.to_dict()))
        return
    _print_files(fetched.files)
    here = f"{fetched.dataset_id} from {fetched.remote}"
    if dry_run:
        typer.echo(f"dry run: these files are {here}; nothing was fetched")
        return
    if fetched.existed:
        typer.echo(f"{here} already exists locally with the same sha256; nothing was fetched")
    elif fetched.manifest:
        typer.echo(f"{here}: every sha256 matches the manifest")
    else:
        typer.echo(
            f"{here}: there is no manifest; the sha256 of main_data.hdf5 is {fetched.sha256}"
        )
    typer.echo(f"in {fetched.path}")
    typer.echo(f"next: lunar-offline train --dataset {fetched.dataset_id} --rho 0.6")


def _print_files(files: Mapping[str, Mapping[str, Any]]) -> None:
    for name, file in files.items():
        typer.echo(f"{name:<20} {file['bytes']:>13,} bytes  {file.get('sha256', '')}".rstrip())

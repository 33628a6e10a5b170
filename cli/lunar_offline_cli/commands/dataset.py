"""The commands `lunar-offline dataset ...`."""

import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lunar_offline.storage.plain_text import without_links
from lunar_offline_cli import completion
from lunar_offline_cli.command import Command, Group
from lunar_offline_cli.messages import printable
from lunar_offline_cli.shared_options import AsJson, DatasetId, EnvId, EnvKwargs, Quiet
from lunar_offline_cli.tables import aligned, pairs

if TYPE_CHECKING:
    from lunar_offline.datasets.listing import ListedDataset

TEXTS = ("algorithm", "description", "sha256")

app = typer.Typer(
    cls=Group,
    help="List, show, verify, pack and delete local datasets. No command runs code that a dataset "
    "names.",
    no_args_is_help=True,
)


def _open(dataset: str, env: str | None, env_kwargs: str | None) -> Any:
    from lunar_offline.datasets.folder import open_folder
    from lunar_offline.envs.env_kwargs import parse_kwargs
    from lunar_offline.envs.registry import unregistered_env
    from lunar_offline.errors import UsageError

    if env_kwargs and env is None:
        raise UsageError("--env-kwargs is for an env that is not registered: add --env")
    return open_folder(dataset, unregistered_env(env, parse_kwargs(env_kwargs or "")))


@app.command("list", cls=Command)
def list_(as_json: AsJson = False) -> None:
    """List the local datasets. An unreadable dataset is listed with the reason."""
    from lunar_offline.datasets.listing import list_datasets

    rows = list_datasets()
    if as_json:
        typer.echo(json.dumps([row.to_dict() for row in rows]))
        return
    if not rows:
        typer.echo("no datasets yet; make one with: lunar-offline collect")
        return
    lines = [
        (row.dataset_id, _env_shown(row), row.actions, f"{row.episodes:,}", f"{row.steps:,}")
        for row in rows
        if row.episodes is not None and row.steps is not None
    ]
    if lines:
        typer.echo(aligned(("dataset", "env", "actions", "episodes", "steps"), lines))
    for row in rows:
        if row.refused:
            typer.echo(printable(f"{row.dataset_id}: refused: {row.refused}"))


def _env_shown(row: "ListedDataset") -> str:
    return " ".join([row.env, *(f"{name}={value}" for name, value in row.env_kwargs.items())])


@app.command(cls=Command)
def show(
    dataset: DatasetId,
    env: EnvId = None,
    env_kwargs: EnvKwargs = None,
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
    folder = _open(dataset, env, env_kwargs)
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
    typer.echo(_described(shown))


def _described(shown: dict[str, Any]) -> str:
    """Return the contents, statistics and provenance as aligned lines."""
    top = {
        "dataset": shown["dataset_id"],
        "env": f"{shown['env']}, {shown['actions']} actions",
        "episodes": f"{shown['episodes']:,}",
        "steps": f"{shown['steps']:,}",
        "return": ", ".join(f"{n} {shown[f'return_{n}']}" for n in ("mean", "sd", "iqm")).replace(
            "iqm", "IQM"
        ),
        "": f"min {shown['return_min']}, max {shown['return_max']}",
        "length": f"mean {shown['length_mean']} env steps; {shown['truncated']:,} truncated",
        **{key: without_links(shown[key]) for key in TEXTS if shown[key]},
    }
    parts = [pairs(top)]
    for key, value in shown.items():
        if isinstance(value, dict):
            parts.append(f"\n{printable(key)}\n{pairs(_in_words(value), indent=2)}")
    return "\n".join(parts)


def _in_words(values: dict[str, Any]) -> dict[str, str]:
    """Return a line of text for each value; a list of tables has a line for each of them."""
    found: dict[str, str] = {}
    for key, value in values.items():
        several = isinstance(value, list) and value and all(isinstance(v, dict) for v in value)
        for number, one in enumerate(value if several else [value], 1):
            name = f"{key} {number}" if several and len(value) > 1 else key
            found[name] = _words(one) or "none"
    return found


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_words(inner)}" for key, inner in value.items())
    return ", ".join(map(_words, value)) if isinstance(value, list) else str(value)


@app.command(cls=Command)
def delete(
    dataset: DatasetId,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Do not ask; needed without a terminal.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Delete a dataset, its cache, and what is left of its recording."""
    from lunar_offline.datasets.delete import delete_dataset, plan_deletion
    from lunar_offline.errors import UsageError

    planned = plan_deletion(dataset)
    place = "an unfinished recording" if planned.path is None else str(planned.path)
    what = f"{dataset}: {place}, {planned.bytes / 1e6:.1f} MB"
    if not yes:
        if as_json or not sys.stdin.isatty():
            raise UsageError(f"{what} would be deleted; add --yes to delete it")
        if not typer.confirm(f"Delete {printable(what)}?", err=True):
            typer.echo("nothing was deleted", err=True)
            raise typer.Exit(1)
    delete_dataset(planned)
    if as_json:
        typer.echo(json.dumps({"dataset_id": dataset, "bytes": planned.bytes}))
        return
    typer.echo(f"deleted {printable(what)}")


@app.command(cls=Command)
def pack(
    dataset: DatasetId, env: EnvId = None, env_kwargs: EnvKwargs = None, as_json: AsJson = False
) -> None:
    """Make the memory-mapped cache of a dataset now instead of at its first use."""
    from lunar_offline.datasets.dataset import read_folder

    packed = read_folder(_open(dataset, env, env_kwargs))
    if as_json:
        found = {"dataset_id": packed.id, "rows": len(packed.transitions)}
        typer.echo(json.dumps(found | {"cache": str(packed.cache), "sha256": packed.sha256}))
        return
    typer.echo(f"{dataset}: {len(packed.transitions):,} rows in {packed.cache}")


@app.command(cls=Command)
def verify(
    dataset: DatasetId,
    replay: Annotated[
        str,
        typer.Option(
            metavar="N|all",
            help="Episodes to replay in the env: a number, or all.",
            autocompletion=completion.one_of("all"),
        ),
    ] = "0",
    env: EnvId = None,
    env_kwargs: EnvKwargs = None,
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
            _open(dataset, env, env_kwargs),
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

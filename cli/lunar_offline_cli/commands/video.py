"""The command `lunar-offline video`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from lunar_offline_cli import completion
from lunar_offline_cli.shared_options import AsJson, EnvId


def video(
    run: Annotated[
        Path,
        typer.Argument(
            help="An evaluated run directory.",
            show_default=False,
            autocompletion=completion.runs,
        ),
    ],
    episode: Annotated[
        str, typer.Option(help="best, median, worst, or an index; separate several with commas.")
    ] = "median",
    kind: Annotated[str, typer.Option("--format", help="gif or mp4.")] = "gif",
    env: EnvId = None,
    as_json: AsJson = False,
) -> None:
    """Render videos of held-out episodes of a run."""
    from lunar_offline.envs.registry import find_env
    from lunar_offline.evaluation.video import film_run

    for which in episode.split(","):
        path, filmed = film_run(run, which, kind, env=find_env(env) if env else None)
        if as_json:
            found = {"path": str(path), "return": filmed.episode_return, "frames": len(filmed)}
            typer.echo(json.dumps(found))
            continue
        typer.echo(f"{path}: return {filmed.episode_return:.1f}, {len(filmed)} frames")

"""`lunar-offline video`."""

from pathlib import Path
from typing import Annotated

import typer


def video(
    run: Annotated[Path, typer.Argument(help="An evaluated run directory.", show_default=False)],
    episode: Annotated[
        str, typer.Option(help="best, median, worst, or an index; several with commas.")
    ] = "median",
    kind: Annotated[str, typer.Option("--format", help="gif or mp4.")] = "gif",
) -> None:
    """Film held-out episodes of a run."""
    from lunar_offline.experiment.film import film_run

    for which in episode.split(","):
        path, flown = film_run(run, which, kind)
        typer.echo(f"{path}: return {flown.episode_return:.1f}, {len(flown)} frames")

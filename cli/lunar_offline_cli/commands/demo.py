"""The command `lunar-offline demo`."""

from pathlib import Path
from typing import Annotated

import typer

from lunar_offline_cli.shared_options import Quiet


def demo(
    out: Annotated[Path, typer.Option(help="New folder for the results.")] = Path("demo"),
    quiet: Quiet = False,
) -> None:
    """Collect, train, evaluate and render a video in a few minutes, then print next commands."""
    from lunar_offline.studies.demo import run_demo
    from lunar_offline_cli.commands.evaluate import describe
    from lunar_offline_cli.console import Bars

    with Bars(quiet=quiet) as bars:
        done = run_demo(out, bars)
    collected = done.collected
    typer.echo(
        f"\ndataset {collected.dataset_id}: {collected.statistics.episodes} episodes of the "
        f"expert, return {collected.statistics.returns.mean:.1f}"
    )
    typer.echo(f"policy after {done.seconds:.0f} s: {describe(done.evaluations)}")
    typer.echo(f"\nopen     {done.film}\n         {done.run / 'training.png'}")
    typer.echo(f"         {done.run / 'evaluation.png'}")
    typer.echo(
        "next     lunar-offline collect --episodes 800\n"
        "         lunar-offline train --dataset lunar-sac-v0 --rho 0.6\n"
        f"         tensorboard --logdir {out}"
    )

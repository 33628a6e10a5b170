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
    collected, mean = done.collected.statistics, done.evaluations.headline.mean
    typer.echo(
        f"\n{done.collected.dataset_id}: {collected.episodes} episodes of the expert, mean return "
        f"{collected.returns.mean:.1f}"
    )
    typer.echo(f"\n{describe(done.evaluations)}\n")
    above = mean - collected.returns.mean
    if above > 0:
        typer.echo(f"after {done.seconds:.0f} s, the last policy is {above:.1f} above its data")
    else:
        typer.echo(
            f"after {done.seconds:.0f} s, the last policy is {-above:.1f} below its data:\n"
            "so short a run mostly imitates the expert. The 200 online episodes that\n"
            "`lunar-offline train` has by default end above it; see docs/results.md."
        )
    typer.echo(f"\nopen     {done.film}\n         {done.run / 'training.png'}")
    typer.echo(f"         {done.run / 'evaluation.png'}")
    typer.echo(
        "next     lunar-offline collect --episodes 800\n"
        "         lunar-offline train --dataset lunar-sac-v0 --rho 0.6\n"
        f"         tensorboard --logdir {out}"
    )

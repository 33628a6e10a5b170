"""`lunar-offline demo`."""

from pathlib import Path
from typing import Annotated

import typer


def demo(
    out: Annotated[Path, typer.Option(help="Folder to make.")] = Path("demo"),
) -> None:
    """Collect, train, evaluate and film in a few minutes, then say what to try next."""
    from lunar_offline.experiment.demo import run_demo
    from lunar_offline_cli.console import Bars
    from lunar_offline_cli.evaluate import describe

    with Bars() as bars:
        done = run_demo(out, bars)
    collected = done.collected
    typer.echo(
        f"\ndataset {collected.dataset_id}: {collected.episodes} episodes of the expert, "
        f"return {collected.mean_return:.1f}"
    )
    typer.echo(f"policy after {done.seconds:.0f} s: {describe(done.summary)}")
    typer.echo(f"\nlook at  {done.film}\n         {done.run / 'training.png'}")
    typer.echo(f"         {done.run / 'evaluation.png'}")
    typer.echo(
        "next     lunar-offline collect --episodes 800\n"
        "         lunar-offline train --dataset lunar-sac-v0 --rho 0.6\n"
        f"         tensorboard --logdir {out}"
    )

"""`lunar-offline collect`."""

import dataclasses
import json
from typing import Annotated

import typer


def collect(
    episodes: Annotated[
        int | None, typer.Option(help="Episodes to record.", show_default="800")
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(help="Minari id to publish under.", show_default="lunar-sac-v0"),
    ] = None,
    policy: Annotated[
        str | None,
        typer.Option(
            help="Behaviour policy: expert, expert-v1, medium, random, a run directory or a "
            ".safetensors file.",
            show_default="expert",
        ),
    ] = None,
    discrete: Annotated[
        bool | None,
        typer.Option(
            "--discrete/--continuous",
            help="Action space.",
            show_default="the policy's, else discrete",
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Seed of env resets and action noise.", show_default="0")
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            help="Make a recipe's dataset: a .toml file, or the id of one that is shipped.",
            show_default="none",
        ),
    ] = None,
    other_bytes: Annotated[
        bool, typer.Option("--other-bytes", help="Take data of another sha256 than the recipe's.")
    ] = False,
    workers: Annotated[int, typer.Option(help="Processes that fly; the bytes stay the same.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Roll a behaviour policy out and publish a Minari dataset.

    The same command goes on where it was stopped, and gives the same bytes.
    """
    from lunar_offline.experiment.recipe import from_options
    from lunar_offline.experiment.remake import remake
    from lunar_offline_cli.console import Bars

    asked = from_options(
        recipe, dataset=dataset, policy=policy, discrete=discrete, episodes=episodes, seed=seed
    )
    with Bars(quiet=as_json) as bars:
        try:
            collected = remake(asked, workers=workers, other_bytes=other_bytes, observer=bars)
        except (KeyboardInterrupt, SystemExit):
            typer.echo("stopped; what has landed is kept, the same command goes on", err=True)
            raise
    if collected.was_there and not as_json:
        typer.echo(f"{collected.dataset_id} stands already with this recipe; nothing was done")
    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(collected) | {"path": str(collected.path)}))
        return
    typer.echo(
        f"{collected.dataset_id}: {collected.episodes} episodes, {collected.steps:,} steps, "
        f"return {collected.mean_return:.1f} +- {collected.sd_return:.1f}, "
        f"{collected.crash_rate:.1%} crashed"
    )
    typer.echo(f"in {collected.path}")
    typer.echo(f"next: lunar-offline train --dataset {collected.dataset_id} --rho 0.6")

"""The command `lunar-offline collect`."""

import json
from typing import Annotated

import typer

from lunar_offline_cli import completion
from lunar_offline_cli.shared_options import (
    AsJson,
    Discrete,
    EnvId,
    EnvKwargs,
    Quiet,
    Trust,
    name_env,
)


def collect(
    episodes: Annotated[
        int | None, typer.Option(help="Episodes to record.", show_default="800")
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            metavar="ID",
            help="Minari id to publish under.",
            show_default="lunar-sac-v0 for the shipped recipe; any other collection names its id",
        ),
    ] = None,
    policy: Annotated[
        str | None,
        typer.Option(
            help="Behavior policy: expert, expert-v1, medium, random, controller, a run "
            "directory, a .safetensors, .onnx or Stable-Baselines3 .zip file, or "
            "module:function.",
            show_default="expert",
            autocompletion=completion.policies,
        ),
    ] = None,
    discrete: Discrete = None,
    env: EnvId = None,
    env_kwargs: EnvKwargs = None,
    seed: Annotated[
        int | None, typer.Option(help="Seed of env resets and action noise.", show_default="0")
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            metavar="ID|FILE",
            help="Record the dataset of a recipe: a .toml file, or the id of a bundled recipe.",
            show_default="none",
            autocompletion=completion.recipes,
        ),
    ] = None,
    other_bytes: Annotated[
        bool,
        typer.Option("--other-bytes", help="Accept data whose sha256 differs from the recipe's."),
    ] = False,
    workers: Annotated[
        int, typer.Option(help="Number of processes; it does not change the data.")
    ] = 1,
    trust: Trust = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Run a behavior policy and publish its episodes as a Minari dataset.

    After an interruption, the same command continues and produces the same bytes.
    """
    from lunar_offline.collection.collect import make_dataset
    from lunar_offline.collection.recipe import from_options
    from lunar_offline_cli.console import Bars

    _, settings = name_env(env, env_kwargs, discrete=discrete)
    asked = from_options(
        recipe,
        dataset=dataset,
        policy=policy,
        discrete=discrete,
        env=env,
        env_kwargs=None if env_kwargs is None else settings,
        episodes=episodes,
        seed=seed,
    )
    with Bars(quiet=quiet or as_json) as bars:
        try:
            made = make_dataset(
                asked, workers=workers, other_bytes=other_bytes, trust=trust, observer=bars
            )
        except (KeyboardInterrupt, SystemExit):
            typer.echo(
                "stopped; finished episodes are kept; run the same command to continue", err=True
            )
            raise
    if as_json:
        typer.echo(json.dumps(made.to_dict()))
        return
    if made.existed:
        typer.echo(f"{made.dataset_id} already exists with this recipe; nothing was recorded")
    found = made.statistics
    crashed = "" if found.crash_rate is None else f", {found.crash_rate:.1%} crashed"
    typer.echo(
        f"{made.dataset_id}: {found.episodes} episodes, {found.steps:,} steps, "
        f"return {found.returns.mean:.1f} +- {found.returns.sd:.1f}{crashed}"
    )
    typer.echo(f"in {made.path}")
    typer.echo(f"next: lunar-offline train --dataset {made.dataset_id} --rho 0.6")

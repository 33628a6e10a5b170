"""`lunar-offline evaluate`."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer


def evaluate(
    run: Annotated[
        str,
        typer.Argument(
            help="A run directory, a .safetensors policy, or expert-v1, expert, medium, random.",
            show_default=False,
        ),
    ],
    episodes: Annotated[int, typer.Option(help="Held-out episodes.")] = 1000,
    stochastic: Annotated[
        bool,
        typer.Option("--stochastic", help="Sample the actions.", show_default="argmax, tanh(mu)"),
    ] = False,
    discrete: Annotated[
        bool | None,
        typer.Option(
            "--discrete/--continuous",
            help="Action space of a policy that ships.",
            show_default="discrete",
        ),
    ] = None,
    env: Annotated[
        str | None,
        typer.Option(help="Env of a policy that flies no lander.", show_default="the lander"),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for evaluation.json and .png.", show_default="the run directory"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print evaluation.json.")] = False,
) -> None:
    """Fly a run or policy on fixed held-out seeds."""
    from lunar_offline.data.workers import usable_cores
    from lunar_offline.envs import named_env
    from lunar_offline.experiment.behavior import behavior_policy
    from lunar_offline.experiment.launch import (
        check_folder,
        evaluate_act,
        evaluate_run,
        write_evaluation,
    )
    from lunar_offline_cli.console import Bars

    workers, folder = usable_cores(), Path(run)
    named = named_env(env) if env else None
    if out is not None:
        check_folder(out)
    with Bars(quiet=as_json) as bars:
        if folder.is_dir():
            out = out or folder
            summary = evaluate_run(
                folder,
                episodes,
                discrete=discrete,
                stochastic=stochastic,
                env=named,
                workers=workers,
                observer=bars,
            )
        else:
            policy = behavior_policy(run, discrete=discrete, stochastic=stochastic, env=named)
            summary = evaluate_act(policy.env, policy.act, episodes, workers=workers, observer=bars)
    if out is not None:
        write_evaluation(out, summary)
    if as_json:
        typer.echo(json.dumps(summary))
        return
    typer.echo(describe(summary))
    if out is not None:
        typer.echo(f"in {out}: evaluation.json, evaluation.png")


def describe(summary: dict[str, Any]) -> str:
    """Return one evaluation as two lines of text."""
    returns = (
        f"return {summary['mean']:.1f} (sd {summary['sd']:.1f}, IQM {summary['iqm']:.1f}, worst "
        f"{summary['min']:.1f}, lowest mean of 100: {summary['min_window_100']:.1f}) over "
        f"{summary['episodes']} held-out episodes\n"
    )
    if "regret_parts" not in summary:  # no lander
        ends = ", ".join(f"{count} {name}" for name, count in summary["outcomes"].items())
        return f"{returns}{ends}; {summary['frames']:.0f} frames"
    parts = ", ".join(
        f"{name.replace('_', ' ')} {value:.1f}" for name, value in summary["regret_parts"].items()
    )
    return (
        f"{returns}{summary['success_rate']:.1%} reach 200, {summary['crash_rate']:.1%} crash; "
        f"fuel {summary['fuel']:.1f}, {summary['frames']:.0f} frames, regret to the bound "
        f"{summary['regret_to_bound']:.1f} ({parts})"
    )

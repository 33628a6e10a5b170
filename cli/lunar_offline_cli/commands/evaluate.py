"""The command `lunar-offline evaluate`."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from lunar_offline_cli import completion
from lunar_offline_cli.shared_options import AsJson, Discrete, EnvId, EnvKwargs, Quiet


def evaluate(
    run: Annotated[
        str,
        typer.Argument(
            help="A run directory, a .safetensors policy, or expert-v1, expert, medium, random.",
            show_default=False,
            autocompletion=completion.policies,
        ),
    ],
    episodes: Annotated[int, typer.Option(help="Number of held-out episodes.")] = 1000,
    stochastic: Annotated[
        bool,
        typer.Option("--stochastic", help="Sample the actions.", show_default="argmax, tanh(mu)"),
    ] = False,
    discrete: Discrete = None,
    env: EnvId = None,
    env_kwargs: EnvKwargs = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for evaluation.json and .png.", show_default="the run directory"),
    ] = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Evaluate a run or a policy on fixed held-out seeds."""
    from lunar_offline.envs.env_kwargs import parse_kwargs
    from lunar_offline.envs.registry import find_env
    from lunar_offline.evaluation.evaluate import (
        check_folder,
        evaluate_policies,
        evaluate_policy,
        write_evaluation,
    )
    from lunar_offline.policies.behavior import behavior_policy, check_policy_space
    from lunar_offline.process_pool import usable_cores
    from lunar_offline.training.run_folder import RunFolder
    from lunar_offline_cli.console import Bars

    workers, folder = usable_cores(), Path(run)
    settings = parse_kwargs(env_kwargs or "")
    named = find_env(env, discrete=discrete, settings=settings) if env else None
    if out is not None:
        check_folder(out)
    with Bars(quiet=quiet or as_json) as bars:
        if folder.is_dir():
            out = out or folder
            policies = RunFolder(folder).policies(env=named, stochastic=stochastic)
            check_policy_space(policies.best, run, discrete)
            policies = policies.with_settings(settings)
            summary = evaluate_policies(policies, episodes, workers=workers, observer=bars)
        else:
            policy = behavior_policy(run, discrete=discrete, stochastic=stochastic, env=named)
            policy = policy.with_settings(settings)
            summary = evaluate_policy(policy, episodes, workers=workers, observer=bars)
    if out is not None:
        write_evaluation(out, summary)
    if as_json:
        typer.echo(json.dumps(summary))
        return
    typer.echo(describe(summary))
    if out is not None:
        typer.echo(f"in {out}: evaluation.json, evaluation.png")


def describe(summary: dict[str, Any]) -> str:
    """Return the summary of an evaluation as two lines of text."""
    returns = (
        f"return {summary['mean']:.1f} (sd {summary['sd']:.1f}, IQM {summary['iqm']:.1f}, worst "
        f"{summary['min']:.1f}, lowest mean of 100: {summary['min_window_100']:.1f}) over "
        f"{summary['episodes']} held-out episodes\n"
    )
    if "regret_parts" not in summary:  # an env without specific measures
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

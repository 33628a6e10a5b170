"""The command `lunar-offline evaluate`."""

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
from lunar_offline_cli.tables import aligned

if TYPE_CHECKING:
    from lunar_offline.evaluation.evaluation_file import Evaluations


def evaluate(
    run: Annotated[
        str,
        typer.Argument(
            help="A run directory; a .safetensors, .onnx or Stable-Baselines3 .zip policy; "
            "module:function; or expert-v1, expert, medium, random, controller.",
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
    trust: Trust = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Evaluate a run or a policy on fixed held-out seeds."""
    from lunar_offline.evaluation.evaluate import (
        check_folder,
        evaluate_policies,
        evaluate_policy,
        write_evaluation,
    )
    from lunar_offline.evaluation.evaluation_file import Evaluations
    from lunar_offline.policies.behavior import behavior_policy, check_policy_space
    from lunar_offline.process_pool import usable_cores
    from lunar_offline.training.run_folder import RunFolder
    from lunar_offline_cli.console import Bars

    workers, folder = usable_cores(), Path(run)
    named, settings = name_env(env, env_kwargs, discrete=discrete)
    if out is not None:
        check_folder(out)
    with Bars(quiet=quiet or as_json) as bars:
        if folder.is_dir():
            own = RunFolder(folder).policies(env=named, stochastic=stochastic)
            check_policy_space(own.best, run, discrete)
            policies = own.with_settings(settings)
            # a run keeps the evaluation in its own env, with deterministic actions
            usual = policies.best.env == own.best.env and not stochastic
            out = folder if out is None and usual else out
            policy = policies.best
            found = evaluate_policies(policies, episodes, workers=workers, observer=bars)
        else:
            policy = behavior_policy(
                run, discrete=discrete, stochastic=stochastic, env=named, trust=trust
            )
            policy = policy.with_settings(settings)
            one = evaluate_policy(policy, episodes, workers=workers, observer=bars)
            found = Evaluations(policy=one)
    if out is not None:
        write_evaluation(out, found, policy.env)
    if as_json:
        typer.echo(json.dumps(found.to_dict()))
        return
    typer.echo(describe(found))
    if out is not None:
        typer.echo(f"in {out}: evaluation.json, evaluation.png")
    elif folder.is_dir():
        typer.echo("not stored: the run keeps its own evaluation; --out FOLDER stores this one")
    words = ["lunar-offline", "video", run, *(["--env", env] if env else [])]
    words += ["--env-kwargs", env_kwargs] if env_kwargs else []
    typer.echo(f"next: {shlex.join(words)}{' --trust' if trust else ''}")


def describe(evaluations: "Evaluations") -> str:
    """Return evaluations as a table: a measure per row, a policy per column.

    The policy of a run with the best validation mean is `best`, that at the end `last`.
    """
    policies = evaluations.by_name()
    episodes = f"{evaluations.headline.episodes:,} held-out episodes"
    measured = [_measures(found.to_dict()) for found in policies.values()]
    rows = [[name, *(found.get(name, "-") for found in measured)] for name in measured[-1]]
    return aligned((episodes, *(policies if len(policies) > 1 else [""])), rows)


# measures in order: name on the terminal, key, format
MEASURES = (
    ("mean return", "mean", "{:.1f}"),
    ("interquartile mean", "iqm", "{:.1f}"),
    ("standard deviation", "sd", "{:.1f}"),
    ("worst return", "min", "{:.1f}"),
    ("worst 100-episode mean", "min_window_100", "{:.1f}"),
    ("return of 200 or more", "success_rate", "{:.1%}"),
    ("env steps per episode", "frames", "{:.0f}"),
    ("fuel", "fuel", "{:.1f}"),
    ("regret to the bound", "regret_to_bound", "{:.1f}"),
)


def _measures(summary: dict[str, Any]) -> dict[str, str]:
    """Return the measures of a policy by their names on the terminal."""
    found = {name: form.format(summary[key]) for name, key, form in MEASURES if key in summary}
    parts = summary.get("regret_parts", {})
    found |= {f"  {name.replace('_', ' ')}": f"{value:.1f}" for name, value in parts.items()}
    ends = summary["outcomes"].items()
    return found | {name: f"{count / summary['episodes']:.1%}" for name, count in ends}

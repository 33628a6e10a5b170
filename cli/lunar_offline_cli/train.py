"""`lunar-offline train`."""

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from lunar_offline.errors import UsageError


def train(
    dataset: Annotated[
        str | None, typer.Option(help="Minari dataset id; none for rho 0.", show_default=False)
    ] = None,
    rho: Annotated[
        float | None,
        typer.Option(
            help="Offline fraction of every batch: 0 is online SAC, 1 makes no env. [default: 0.6]"
        ),
    ] = None,
    rho_mode: Annotated[
        str | None,
        typer.Option(
            help="batch: exact in every batch; buffer: the paper's shared buffer, rho of all "
            "episodes. [default: batch]"
        ),
    ] = None,
    algorithm: Annotated[
        str | None, typer.Option(help="cql-sac, or sac: no penalty. [default: cql-sac]")
    ] = None,
    penalty: Annotated[str | None, typer.Option(help="cql-h or none. [default: cql-h]")] = None,
    penalty_weight: Annotated[
        float | None, typer.Option(help="Weight of the penalty offline. [default: 1]")
    ] = None,
    online_penalty_weight: Annotated[
        float | None,
        typer.Option(help="The same once online. [default: 0.1 discrete, 0 continuous]"),
    ] = None,
    penalised_rows: Annotated[
        str | None,
        typer.Option(help="Rows in the penalty: offline or all. [default: offline]"),
    ] = None,
    pretrain_updates: Annotated[
        int | None,
        typer.Option(help="Offline updates before the first online episode. [default: 15000]"),
    ] = None,
    updates: Annotated[
        int | None, typer.Option(help="Updates in all, at rho 1. [default: 30000]")
    ] = None,
    online_episodes: Annotated[
        int | None, typer.Option(help="Online training episodes. [default: 200]")
    ] = None,
    stop_return: Annotated[
        float | None,
        typer.Option(help="Stop once a validation mean reaches this return. [default: never]"),
    ] = None,
    evaluation_episodes: Annotated[
        int | None,
        typer.Option(help="Held-out episodes at the end. [default: 1000; 0 at rho 1]"),
    ] = None,
    preset: Annotated[
        str | None, typer.Option(help="best, or paper: section 2.8. [default: best]")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="TOML file with any key of a run's config.toml.")
    ] = None,
    discrete: Annotated[
        bool | None,
        typer.Option(
            "--discrete/--continuous", help="Action space. [default: the dataset's, else discrete]"
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything. [default: 0]")] = None,
    threads: Annotated[int | None, typer.Option(help="Torch threads. [default: 1]")] = None,
    precision: Annotated[str | None, typer.Option(help="auto or fp32. [default: auto]")] = None,
    device: Annotated[str | None, typer.Option(help="cpu or cuda. [default: cpu]")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Run directory to make. [default: runs/NAME]")
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(help="Continue this run directory; takes no other option.")
    ] = None,
) -> None:
    """Train CQL-SAC, or SAC, from a dataset id."""
    names = [
        "dataset",
        "rho",
        "rho_mode",
        "algorithm",
        "penalty",
        "penalty_weight",
        "online_penalty_weight",
        "penalised_rows",
        "pretrain_updates",
        "updates",
        "online_episodes",
        "stop_return",
        "evaluation_episodes",
        "preset",
        "seed",
        "threads",
        "precision",
        "device",
    ]
    values = locals()
    options = {name: values[name] for name in names if values[name] is not None}
    if resume is not None:
        if options or config or out or discrete is not None:
            raise UsageError("--resume takes every option from the run; give it alone")
        _run(resume, None)
        return
    from lunar_offline.experiment.config import read_toml
    from lunar_offline.experiment.launch import resolve

    file = read_toml(config) if config else {}
    resolved, data = resolve(discrete=discrete, file=file, options=options)
    if out is None:
        action = "discrete" if resolved.discrete else "continuous"
        source = resolved.dataset.replace("/", "-") or f"online-{action}"
        out = Path("runs") / f"{resolved.algorithm}-{source}-rho{resolved.rho:g}-s{resolved.seed}"
    _run(out, (resolved, data))


def _run(out: Path, fresh: Any) -> None:
    from lunar_offline.experiment.launch import finish, resume, start
    from lunar_offline_cli.console import Bars
    from lunar_offline_cli.evaluate import describe

    again = f"lunar-offline train --resume {shlex.quote(str(out))}"
    with Bars() as bars:
        training = resume(out, bars) if fresh is None else start(*fresh, out, bars)
        for line in training.notes:
            typer.echo(line, err=True)
        try:
            training.train()
            summary = finish(training.run, bars)
        except (KeyboardInterrupt, SystemExit):
            typer.echo(f"stopped; continue with: {again}", err=True)
            raise
    if summary:
        typer.echo(describe(summary))
    following = "video" if summary else "evaluate"
    typer.echo(f"run in {out}; next: lunar-offline {following} {shlex.quote(str(out))}")

"""`lunar-offline train`."""

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from lunar_offline.errors import LunarOfflineError, UsageError
from lunar_offline_cli.text import say

DATA, LEARNING, RUN = "Data and mix", "Learning", "The run"


def _option(text: str, default: str, panel: str, *names: str) -> Any:
    """An option whose default is the preset's, so None stands for "not given"."""
    return typer.Option(*names, help=text, show_default=default, rich_help_panel=panel)


def train(
    dataset: Annotated[
        str | None, _option("Minari dataset id; none for rho 0.", "none", DATA)
    ] = None,
    rho: Annotated[
        float | None,
        _option(
            "Offline fraction of every batch: 0 is online SAC, 1 makes no env.",
            "0.6",
            DATA,
        ),
    ] = None,
    rho_mode: Annotated[
        str | None,
        _option(
            "batch: exact in every batch; buffer: one shared buffer, rho of all episodes.",
            "batch",
            DATA,
        ),
    ] = None,
    discrete: Annotated[
        bool | None,
        _option("Action space.", "the dataset's, else discrete", DATA, "--discrete/--continuous"),
    ] = None,
    env: Annotated[
        str | None, _option("Env of a dataset that is not LunarLander's.", "the lander", DATA)
    ] = None,
    preset: Annotated[
        str | None, _option("best, or paper: its section 2.8.", "best", LEARNING)
    ] = None,
    config: Annotated[
        Path | None, _option("TOML with any key of a run's config.toml.", "none", LEARNING)
    ] = None,
    algorithm: Annotated[
        str | None,
        _option("cql-sac, sac (no penalty), bc, or cql-qr (quantiles).", "cql-sac", LEARNING),
    ] = None,
    penalty: Annotated[
        str | None, _option("cql-h, cql-rho, eq1 or none.", "cql-h", LEARNING)
    ] = None,
    penalty_weight: Annotated[
        float | None,
        _option("Weight of the penalty offline.", "5", LEARNING),
    ] = None,
    online_penalty_weight: Annotated[
        float | None,
        _option("The same once online.", "0", LEARNING),
    ] = None,
    lagrange_threshold: Annotated[
        float | None,
        _option("Learn the weight, to hold each critic's gap at this.", "fixed", LEARNING),
    ] = None,
    penalised_rows: Annotated[
        str | None, _option("Rows in the penalty: offline or all.", "offline", LEARNING)
    ] = None,
    pretrain_updates: Annotated[
        int | None,
        _option("Offline updates before going online.", "8000; continuous 5000", LEARNING),
    ] = None,
    updates: Annotated[
        int | None,
        _option("Updates in all, at rho 1.", "10000", LEARNING),
    ] = None,
    online_episodes: Annotated[
        int | None, _option("Online training episodes.", "200", LEARNING)
    ] = None,
    record: Annotated[
        str | None,
        _option("Publish the online episodes as a dataset of this id.", "none", LEARNING),
    ] = None,
    stop_return: Annotated[
        float | None,
        _option("Stop once a validation mean reaches this return.", "never", LEARNING),
    ] = None,
    seed: Annotated[int | None, _option("Seed of everything.", "0", RUN)] = None,
    out: Annotated[Path | None, _option("Run directory to make.", "runs/NAME", RUN)] = None,
    resume: Annotated[
        Path | None,
        _option("Continue this run directory; takes no other option.", "none", RUN),
    ] = None,
    evaluation_episodes: Annotated[
        int | None, _option("Held-out episodes at the end.", "1000; 0 at rho 1", RUN)
    ] = None,
    threads: Annotated[int | None, _option("Torch threads.", "1", RUN)] = None,
    precision: Annotated[
        str | None, _option("fp32 or bf16; auto: bf16 with AMX.", "auto", RUN)
    ] = None,
    device: Annotated[str | None, _option("cpu or cuda; auto is cpu.", "auto", RUN)] = None,
) -> None:
    """Train CQL-SAC, or one of its baselines, from a dataset id."""
    names = [
        "dataset",
        "env",
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
        "record",
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
    if lagrange_threshold is not None:
        options["agent"] = {"lagrange": True, "lagrange_threshold": lagrange_threshold}
    if resume is not None:
        alone = options | {"config": config, "out": out, "discrete": discrete}
        others = ", ".join(_shown(name) for name, value in alone.items() if value is not None)
        if others:
            raise UsageError(f"--resume takes every option from the run: leave out {others}")
        _run(resume, None)
        return
    from lunar_offline.experiment.config import read_toml
    from lunar_offline.experiment.launch import resolve

    file = read_toml(config) if config else {}
    resolved = resolve(discrete=discrete, file=file, options=options)
    if out is None:
        action = "discrete" if resolved.discrete else "continuous"
        source = resolved.dataset.replace("/", "-") or f"online-{action}"
        out = Path("runs") / f"{resolved.algorithm}-{source}-rho{resolved.rho:g}-s{resolved.seed}"
    _run(out, resolved)


def _shown(name: str) -> str:
    other = {"agent": "lagrange-threshold", "discrete": "discrete/--continuous"}
    return f"--{other.get(name, name.replace('_', '-'))}"


def _run(out: Path, fresh: Any) -> None:
    from lunar_offline.data.workers import usable_cores
    from lunar_offline.experiment.launch import finish, resume, start
    from lunar_offline_cli.console import Bars
    from lunar_offline_cli.evaluate import describe

    again = f"continue with: lunar-offline train --resume {shlex.quote(str(out))}"
    with Bars() as bars:
        training = resume(out, bars) if fresh is None else start(fresh, out, bars)
        for line in training.notes:
            say(line)
        try:
            training.train()
            summary = finish(training.run, bars, workers=usable_cores())
        except (KeyboardInterrupt, SystemExit):
            say(f"stopped; {again}")
            raise
        except OSError as error:
            named = f"{error.filename}: {error.strerror}" if error.filename else str(error)
            raise LunarOfflineError(f"{named}; {again}") from None
    if summary:
        typer.echo(describe(summary))
    following = "video" if summary else "evaluate"
    typer.echo(f"run in {out}; next: lunar-offline {following} {shlex.quote(str(out))}")

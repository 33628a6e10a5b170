"""Help at 80 columns, and what exclusive options and misplaced arguments lead to."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from lunar_offline_cli.app import app

Run = Callable[..., tuple[int, str, str]]


def commands(command: Any = None, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    command = command or typer.main.get_command(app)
    yield path
    for name, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, (*path, name))


@pytest.mark.parametrize("command", list(commands()))
def test_help_fits_80_columns_without_noise(
    run: Run, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    code, out, err = run(*command, "--help")
    assert (code, err) == (0, "")
    assert max(map(len, out.splitlines())) <= 80
    assert out.startswith(" ".join(("Usage: lunar-offline", *command)))
    for noise in ("(none)", "<", "RANGE", "[default: (", "None", "│"):
        assert noise not in out, noise


def test_help_names_values_and_defaults(run: Run) -> None:
    _, out, _ = run("train", "--help")
    words = " ".join(out.split())
    assert "--rho X Offline fraction" in words
    assert "--rho-mode batch|buffer batch: rho is" in words
    assert (
        "--pretrain-updates N Offline updates before the first online episode. [default: " in words
    )
    assert "--set KEY=VALUE" in words
    _, out, _ = run("evaluate", "--help")
    assert out.startswith("Usage: lunar-offline evaluate [OPTIONS] RUN\n")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["train", "lunar-sac-v0"], "did you mean --dataset lunar-sac-v0?"),
        (["train", "--Rho", "0.6"], "did you mean --rho?"),
        (["train", "--rho_mode", "batch"], "did you mean --rho-mode?"),
        (["train", "--pretrain-update", "1"], "did you mean --pretrain-updates?"),
        (["train", "--batch-size", "3"], "did you mean --set batch_size=VALUE?"),
        (["train", "--discount", "0.9"], "did you mean --set agent.discount=VALUE?"),
        (["train", "rho=0.6"], "did you mean --rho 0.6?"),
        (["train", "agent.tau=0.1"], "did you mean --set agent.tau=0.1?"),
        (["train", "CQL-SAC"], "did you mean --algorithm cql-sac?"),
        (["train", "paper"], "did you mean --preset paper?"),
        (["train", "my.toml"], "did you mean --config my.toml?"),
        (["train", "run"], "did you mean --resume run?"),
        (["train", "x y"], "unexpected argument 'x y'; see lunar-offline train --help"),
        (["train", "--rho", "0", "--algorithm", "SAC"], "did you mean 'sac'?"),
        (["train", "--rho", "0", "--preset", "Paper"], "did you mean 'paper'?"),
        (["collect", "Expert"], "did you mean --policy expert?"),
        (["collect", "my.toml"], "did you mean --recipe my.toml?"),
        (["evaluate", "--run", "x"], "give the run as an argument, without --run"),
        (["evaluate", "--policy", "expert"], "give the policy as an argument"),
        (["dataset", "show", "--dataset", "x-v0"], "give the dataset as an argument"),
        (["dataset", "shw"], "did you mean 'show'?"),
        (["Train"], "did you mean 'train'?"),
        (["collect", "--continuous", "--discrete"], "--discrete and --continuous cannot be"),
        (["evaluate", "random", "--discrete", "--continuous"], "cannot be combined"),
        (["sweep", "--discrete", "--continuous"], "cannot be combined"),
        (["video", "random", "--discrete", "--continuous"], "cannot be combined"),
    ],
)
def test_a_hint_names_what_is_meant(run: Run, arguments: list[str], reason: str) -> None:
    Path("run").mkdir()
    Path("run/config.toml").touch()
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert reason in err

"""A run's options: each is declared once, and the command line has all of them."""

import ast
import dataclasses
import importlib
import itertools
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from lunar_offline_cli.app import app
from lunar_offline_cli.options_from_config import flag, parse_value, settings_table

from lunar_offline import options as declare
from lunar_offline.agents import registry
from lunar_offline.agents.learner_config import LearnerConfig
from lunar_offline.agents.registry import algorithms
from lunar_offline.collection.collect import collect_dataset
from lunar_offline.errors import UsageError
from lunar_offline.options import Option, check_value, is_table, options_of
from lunar_offline.training.config import TrainConfig
from lunar_offline.training.run_options import agent_options, run_options

Run = Callable[..., tuple[int, str, str]]

CONFIGS = [TrainConfig, *(algorithm.config for algorithm in algorithms().values())]
MAIN = [
    pytest.param(name, about, id=f"{config.__name__}.{name}")
    for config in CONFIGS
    for name, (_, _, about) in options_of(config).items()
    if about.main
]
HEAVY = {"torch", "gymnasium", "minari", "h5py", "matplotlib"}


def _parameters(command: str) -> dict[str, Any]:
    """Return the parameters of a command by the names that the user gives them."""
    commands: dict[str, Any] = typer.main.get_command(app).commands  # pyright: ignore
    return {option: found for found in commands[command].params for option in found.opts}


def _words(text: str) -> str:
    """Return text without the line breaks of a help page."""
    return " ".join(text.split())


@pytest.fixture
def resolved(monkeypatch: pytest.MonkeyPatch) -> list[TrainConfig]:
    """Have `train` stop before it runs anything; the list holds the configs that it resolved."""
    found: list[TrainConfig] = []
    train = importlib.import_module("lunar_offline_cli.commands.train")
    monkeypatch.setattr(train, "_run", lambda _, resolved, **__: found.append(resolved[0]))
    return found


@pytest.fixture(scope="module")
def help_page() -> str:
    shown = subprocess.run(
        [sys.executable, "-m", "lunar_offline_cli", "train", "--help"],
        env={**os.environ, "COLUMNS": "400", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    return _words(shown.stdout)


@pytest.mark.parametrize(("name", "about"), MAIN)
def test_a_main_option_is_on_the_help_page(help_page: str, name: str, about: Option) -> None:
    assert re.search(rf" {flag(name)} ", help_page)
    assert _words(about.help) in help_page
    assert about.panel in help_page
    found = _parameters("train")[flag(name)]
    assert found.help.startswith(about.help)
    assert about.unit in found.help
    assert found.rich_help_panel == about.panel


def test_no_other_option_of_a_config_has_a_name_of_its_own() -> None:
    others = {
        flag(name)
        for config in CONFIGS
        for name, (_, _, about) in options_of(config).items()
        if not about.main
    }
    assert len(others) > 30
    # --discrete belongs to a pair of flags, which collect and evaluate have too
    assert others & _parameters("train").keys() == {"--discrete"}


def test_an_option_that_algorithms_share_means_the_same() -> None:
    for name, (kind, _, about) in agent_options().items():
        assert name not in run_options()
        for algorithm in algorithms().values():
            other = options_of(algorithm.config).get(name)
            assert other is None or (other[0], other[2].help) == (kind, about.help)


def test_an_option_of_an_algorithm_takes_no_name_of_the_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    @dataclasses.dataclass(frozen=True)
    class Config(LearnerConfig):
        out: str = declare.option("", "Not the run directory.", main=True)
        json: bool = declare.option(False, "Not the output.", main=True)
        rho: float = declare.option(0.5, "Not the mix.", main=True)
        depth: int = declare.option(2, "Its own.", main=True)

    monkeypatch.setattr(registry, "_called", {})
    bc = algorithms()["bc"]
    registry.register_algorithm(dataclasses.replace(bc, name="mine", config=Config))
    command: Any = typer.main.get_command(app).commands["train"]  # pyright: ignore
    names = [name for found in command.get_params(typer.Context(command)) for name in found.opts]
    assert "--depth" in names
    assert "--depth" not in _parameters("train")  # before it is needed
    assert len(names) == len(set(names))
    assert {"--out", "--json", "--rho"} < set(names)


def test_a_default_is_shown_for_each_kind_of_run() -> None:
    shown = {name: _parameters("train")[f"--{name}"].show_default for name in ("rho", "penalty")}
    assert shown == {"rho": "0.6", "penalty": "cql-h; rho 0: none"}
    assert "continuous " in _parameters("train")["--pretrain-updates"].show_default


def test_a_sweep_takes_lists_of_values(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("--dataset", "--rho", "--algorithm", "--penalty")
    found, of_a_run = _parameters("sweep"), _parameters("train")
    assert {name: found[name].help for name in names} == {n: of_a_run[n].help for n in names}

    def planned(out: Path, axes: dict[str, Any], *_: Any, **__: Any) -> None:
        raise UsageError(repr(axes))

    monkeypatch.setattr("lunar_offline.studies.sweep.plan", planned)
    options = ["--rho", "0.2,0.6", "--penalty", "cql-h,none", "--algorithm", "cql-sac"]
    settings = ["agent.hidden=[8],[8, 4]", "agent.discount=0.9,1", "balanced=true"]
    code, _, err = run("sweep", *options, *(x for s in settings for x in ("--set", s)))
    assert code == 2
    assert ast.literal_eval(err.removeprefix("lunar-offline: ")) == {
        "rho": [0.2, 0.6],
        "algorithm": ["cql-sac"],
        "agent.penalty": ["cql-h", "none"],
        "agent.hidden": [[8], [8, 4]],
        "agent.discount": [0.9, 1],
        "balanced": [True],
    }


# values that differ from any default; the first that is allowed is set
CANDIDATES: dict[Any, tuple[Any, ...]] = {
    bool: (True, False),
    int: (1, 3, 0, 300, 1_000),
    float: (0.25, 0.75, 2.0, 0.0),
    tuple[int, ...]: ((8, 4),),
}
TEXTS = {
    "dataset": ("lunar-random-v0",),
    "dataset_sha256": ("ab" * 32,),
    "env": ("CartPole-v1",),
    "algorithm": tuple(algorithms()),
    "record": ("recorded-v0",),
}
DATASET = ("--set", "dataset=lunar-random-v0")
CONTINUOUS = ("--set", "dataset=lunar-continuous-v0")
KINDS_OF_RUN = (
    DATASET,
    ("--rho", 0),
    (*DATASET, "--rho", 1),
    ("--rho", 0, "--continuous"),
    CONTINUOUS,
)


def _as_toml(value: Any) -> str:
    if isinstance(value, tuple):
        return str(list(value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _values(name: str, kind: Any, about: Option) -> Iterator[Any]:
    for value in about.choices or TEXTS.get(name) or CANDIDATES[kind]:
        try:
            check_value(value, about)
        except ValueError:
            continue
        yield value


def _set(
    run: Run, resolved: list[TrainConfig], algorithm: str, table: str, about: tuple[str, Any, Any]
) -> str:
    """Set one key to another value than it has without; return what kept that from being done."""
    name, kind, option = about
    refusals = []
    for kind_of_run, value in itertools.product(KINDS_OF_RUN, _values(name, kind, option)):
        chosen = () if name == "algorithm" else ("--set", f"algorithm={algorithm}")
        resolved.clear()
        code, _, err = run("train", *kind_of_run, *chosen)
        plain = _in_table(resolved[0], table)[name] if code == 0 else None
        code, _, err = run(
            "train", *kind_of_run, *chosen, "--set", f"{table}{name}={_as_toml(value)}"
        )
        if code:
            refusals.append(err)
        elif plain != value or name == "dataset":
            assert _in_table(resolved[-1], table)[name] == value
            assert type(_in_table(resolved[-1], table)[name]) is type(value)
            return ""
    return f"{table}{name}: {refusals}"


def _in_table(config: TrainConfig, table: str) -> dict[str, Any]:
    found = config.agent if table else config
    return {field.name: getattr(found, field.name) for field in dataclasses.fields(found)}


def test_set_reaches_every_key_of_a_run(
    run: Run, resolved: list[TrainConfig], random_dataset: str
) -> None:
    keys = {field.name for field in dataclasses.fields(TrainConfig)} - {"agent"}
    assert options_of(TrainConfig).keys() == keys
    for name, (kind, _, option) in options_of(TrainConfig).items():
        if is_table(kind):  # --set reaches its keys, as --set env_kwargs.gravity=-8
            continue
        assert not _set(run, resolved, "cql-sac", "", (name, kind, option))


@pytest.mark.parametrize("algorithm", algorithms())
def test_set_reaches_every_key_of_an_algorithm(
    run: Run, resolved: list[TrainConfig], random_dataset: str, algorithm: str
) -> None:
    if algorithm == "td3-bc":
        collect_dataset("lunar-continuous-v0", policy="random", discrete=False, episodes=1)
    config = algorithms()[algorithm].config
    assert options_of(config).keys() == {field.name for field in dataclasses.fields(config)}
    for name, (kind, _, option) in options_of(config).items():
        assert not _set(run, resolved, algorithm, "agent.", (name, kind, option))


def test_a_table_has_an_option_and_its_keys_can_be_set(
    run: Run, resolved: list[TrainConfig], random_dataset: str
) -> None:
    wanted = {"enable_wind": True, "gravity": -8.0}
    for given in (
        ["--env-kwargs", "enable_wind=true,gravity=-8"],
        ["--set", "env_kwargs.enable_wind=true", "--set", "env_kwargs.gravity=-8"],
        ["--set", "env_kwargs={enable_wind=true, gravity=-8.0}"],
    ):
        assert run("train", "--dataset", random_dataset, *given)[0] == 0
        assert resolved.pop().env_kwargs == wanted


def test_a_named_option_and_set_are_the_same(
    run: Run, resolved: list[TrainConfig], random_dataset: str
) -> None:
    options = ["--penalized-rows", "all", "--penalty-weight", 3, "--online-episodes", 7]
    settings = ["agent.penalized_rows=all", "agent.penalty_weight=3", "online_episodes=7"]
    dataset = ["--dataset", random_dataset]
    assert run("train", *dataset, *options)[0] == 0
    assert run("train", *dataset, *(x for s in settings for x in ("--set", s)))[0] == 0
    assert resolved[0] == resolved[1]
    assert resolved[0].agent != TrainConfig(dataset=random_dataset).agent
    assert run("train", *dataset, "--set", "seed=1", "--seed", 2)[0] == 0
    assert resolved[2].seed == 2  # a named option is the more particular one


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        (
            ["--algorithm", "bc", "--penalty", "none"],
            2,
            "--penalty is not an option of algorithm bc",
        ),
        (["--algorithm", "bc", "--lagrange-threshold", "2"], 2, "of cql-qr, cql-sac"),
        (["--algorithm", "sac", "--penalized-rows", "all"], 2, "--penalized-rows is not"),
        (["--algorithm", "td3-bc"], 2, "td3-bc needs continuous actions; use iql or cql-sac"),
        (["--algorithm", "bc", "--set", "agent.tau=0.1"], 2, "--set agent.tau is not an option"),
        (
            ["--algorithm", "cqlsac"],
            2,
            "algorithm 'cqlsac' is not one of bc, cql-qr, cql-sac, iql, sac, td3-bc",
        ),
        (["--penalty", "cql"], 2, "agent.penalty 'cql' is not one of cql-h, cql-rho, eq1, none"),
        (["--penalty-weight", "-1"], 2, "agent.penalty_weight -1.0 is below 0.0"),
        (["--threads", "0"], 2, "threads 0 is below 1"),
        (["--set", "agent.discont=0.9"], 2, "unknown key 'discont'; did you mean 'discount'?"),
        (["--set", "sed=1"], 2, "unknown key 'sed'; did you mean 'seed'?"),
        (["--set", "seed"], 2, "--set seed: give KEY=VALUE"),
        (["--set", "seed=x"], 2, "seed is not of type int: 'x'"),
        (["--set", "agent.hidden=8"], 2, "hidden is not a list of integers: 8"),
        (["--set", "agent=3"], 2, "agent is not a table"),
        (["--set", "=3"], 2, "unknown key ''"),
        (["--updates", "3"], 2, "--updates and --rho 0.6 cannot be combined"),
        (["--rho", "1", "--online-episodes", "3"], 2, "--online-episodes and --rho 1 cannot be"),
        (["--penalised-rows", "all"], 2, "No such option"),
    ],
)
def test_an_option_that_cannot_be_meant(
    run: Run, random_dataset: str, arguments: list[str], code: int, reason: str
) -> None:
    got, out, err = run("train", "--dataset", random_dataset, *arguments)
    assert (got, out) == (code, "")
    assert err.count("\n") == 1
    assert reason in err


def _imported_by(code: str) -> set[str]:
    code += f"\nimport sys\nprint(*({HEAVY!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_the_app_imports_nothing_slow() -> None:
    assert _imported_by("import lunar_offline_cli.app") == set()
    asked = "from lunar_offline_cli import completion; completion.datasets(''); "
    assert _imported_by(f"{asked}completion.algorithms(''); completion.policies('')") == set()
    assert _imported_by("import torch") == {"torch"}  # what would be seen


def test_settings_are_toml_or_plain_words() -> None:
    values = {"3": 3, "0.5": 0.5, "true": True, "[1, 2]": [1, 2], "cql-h": "cql-h", '"a"': "a"}
    assert [parse_value(text) for text in values] == list(values.values())
    table = settings_table(["agent.tau=0.1", "agent.hidden=[8]", "rho=1", "agent.tau=0.2"])
    assert table == {"agent": {"tau": 0.2, "hidden": [8]}, "rho": 1}

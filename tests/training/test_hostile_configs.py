"""Configs that cannot be meant, are damaged, or come from an unknown source."""

import dataclasses
import datetime
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from hostile_paths import Make, link, sparse, text

from lunar_offline.agents.registry import algorithms
from lunar_offline.errors import UsageError
from lunar_offline.training.config import TrainConfig
from lunar_offline.training.resolve_config import resolve

CONFIGS: list[Any] = [  # how to make the file, and what the refusal must say
    (text("x = = 1"), "Invalid value"),
    (text("rho = 0.6\nrho = 0.7"), "Cannot overwrite a value"),
    (text("\x1b[2J = 1"), "Invalid statement"),
    (text("batch_sise = 1"), "'batch_sise'; did you mean 'batch_size'?"),
    (text("[agent]\npenalty_wieght = 1.0"), "'penalty_wieght'; did you mean 'penalty_weight'?"),
    (text("penalty_weight = 1.0"), "unknown key 'penalty_weight'"),
    (text("[agent]\ngamma = 0.9"), "unknown key 'gamma'"),
    (text(f"{'k' * 100_000} = 1"), "unknown key 'kkk"),
    (text('rho = "much"'), "rho is not of type float: 'much'"),
    (text("discrete = 1"), "discrete is not of type bool"),
    (text("seed = 1.5"), "seed is not of type int"),
    (text("rho = nan"), "rho nan is not finite"),
    (text("utd_ratio = inf"), "utd_ratio inf is not finite"),
    (text("[agent]\npenalty_weight = -1.0"), "agent.penalty_weight -1.0 is below 0.0"),
    (text(f"[agent]\npenalty_weight = {10**400}"), "penalty_weight is not of type float"),
    (text(f"seed = {10**400}"), "is outside 0 .. 2**63 - 1"),
    (text(f"seed = {'9' * 5000}"), "integer string conversion"),
    (text(f"batch_size = {10**9}"), "batch_size 1000000000 is above 65536"),
    (text(f"batch_size = {10**400}"), "batch_size 10000000000000000000 is above 65536"),
    (text(f"buffer_size = {10**12}"), "buffer_size 1000000000000 is above 10000000"),
    (text("threads = 100000"), "threads 100000 is above 1024"),
    (text("[agent]\nhidden = [1e9]"), "hidden is not a list of integers: [1000000000.0]"),
    (text("[agent]\nhidden = [1000000000]"), "hidden is not a list of 1 .. 8 integers"),
    (text(f"[agent]\nhidden = {[8] * 10_000}"), "hidden is not a list of 1 .. 8 integers"),
    (text("[agent]\nhidden = [4096, 4096, 4096]"), "with at most 16 million weights"),
    (
        text('dataset = "x-v0"\n[agent]\nhidden = [4096, 4096]\nn_critics = 60'),
        "n_critics 60 is too large for agent.hidden",
    ),
    (text("[agent]\nn_critics = 1000"), "agent.n_critics 1000 is above 64"),
    (text("[agent]\ndiscount = 1.5"), "agent.discount 1.5 is above 1.0"),
    (text("[agent]\nlearning_rate = nan"), "agent.learning_rate nan is not finite"),
    (text("[agent]\ninitial_temperature = 0.0"), "agent.initial_temperature 0.0 is not above 0.0"),
    (text("agent = 3"), "agent is not a table"),
    (text("[agent.agent.agent]"), "unknown key 'agent'"),
    (text("x = " + "[" * 5000), "nested too deep"),
    # 5,000 parts of a key are 25 million of their prefixes
    (text("rho" + ".a" * 5000 + " = 1"), "a line has more than 100 dots"),
    (text('rho."\u2028"' + '."a"' * 5000 + " = 1"), "a line has more than 100 dots"),
    (text("rho" + ".a" * 90 + " = 1"), "TOML nested too deep"),
    (text("rho = " + "[{a=" * 40 + "1" + "}]" * 40), "TOML nested too deep"),
    (text("seed = 0x" + "f" * 4000), "an integer has more than 10,000 bits"),
    (text("batch_size = 1979-05-27"), "batch_size is not of type int: datetime.date(1979, 5, 27)"),
    (text("rho = 1e400"), "rho inf is not finite"),
    (text('"s\u0435ed" = 1'), "'; did you mean 'seed'?"),
    (text('"\u202ereversed" = 1'), r"unknown key '\u202ereversed'"),
    (text("dataset_sha256 = 'abc'"), "dataset_sha256 is not 64 hexadecimal digits"),
    (lambda path: path.write_bytes(b"\xff\xfe"), "can't decode byte"),
    (sparse(100 << 20), "has 104,857,600 bytes; at most 131,072 are allowed"),
    (os.mkfifo, "not a regular file"),
    (Path.mkdir, "not a regular file"),
    (link("/dev/zero"), "a symbolic link, which is not followed"),
]


@pytest.mark.parametrize(("make", "reason"), CONFIGS)
def test_the_users_own_config_is_a_mistake_of_usage(
    call, tmp_path: Path, make: Make, reason: str
) -> None:
    make(tmp_path / "my.toml")
    # the options are checked before the dataset is looked for
    code, printed = call("train", "--config", "my.toml", "--dataset", "none-v0")
    assert code == 2
    assert reason in printed


@pytest.mark.parametrize("value", [[], {}, datetime.time(1)])  # no key is of these types
def test_every_key_is_checked_for_its_type_before_it_is_used(value: Any) -> None:
    keys = [f.name for f in dataclasses.fields(TrainConfig) if f.name != "agent"]
    files: list[tuple[str, dict[str, Any]]] = [(key, {key: value}) for key in keys]
    for name, algorithm in algorithms().items():
        for f in dataclasses.fields(algorithm.config):
            files.append((f.name, {"algorithm": name, "agent": {f.name: value}}))
    for key, file in files:
        if (key, value) == ("env_kwargs", {}):  # a table is what it is
            continue
        with pytest.raises(UsageError, match=f"{key} is not"):
            resolve(discrete=None, file={"dataset": "none-v0"} | file, options={})


@pytest.mark.parametrize(("make", "reason"), CONFIGS)
def test_a_runs_config_is_refused(
    call, trained: Path, tmp_path: Path, make: Make, reason: str
) -> None:
    shutil.copytree(trained, tmp_path / "run")
    path = tmp_path / "run" / "config.toml"
    path.unlink()
    make(path)
    code, printed = call("train", "--resume", "run")
    assert code == 3
    assert "run/config.toml" in printed
    assert reason in printed


def test_a_config_that_is_not_the_runs_own_is_refused(call, trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained, tmp_path / "run")
    path = tmp_path / "run" / "config.toml"
    path.write_text(path.read_text().replace("seed = 0", "seed = 1"))
    code, printed = call("train", "--resume", "run")
    assert code == 3
    assert "run/config.toml: changed since the run started" in printed

"""Run directories, configs and arguments that cannot be meant, damaged, or of strangers."""

import dataclasses
import datetime
import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lunar_offline_cli.app import main

from lunar_offline.data.reader import read_dataset
from lunar_offline.errors import RefusedError, UsageError
from lunar_offline.experiment.config import TrainConfig
from lunar_offline.experiment.launch import finish, resolve, resume, start
from lunar_offline.experiment.run_dir import RunDir
from lunar_offline.learn.learner import AgentConfig

TINY: dict[str, Any] = {
    "rho": 0.0,
    "pretrain_updates": 0,
    "online_episodes": 1,
    "random_steps": 50,
    "warmup_steps": 50,
    "validation_episodes": 1,
    "evaluation_episodes": 2,
    "batch_size": 8,
    "buffer_size": 64,
    "agent": {"hidden": [8]},
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished, evaluated run; never to be changed."""
    run = tmp_path_factory.mktemp("runs") / "run"
    training = start(resolve(discrete=True, file=TINY, options={}), run)
    training.train()
    finish(training.run)
    return run


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Run a command that must fail at once with one line; return its exit code and the line."""

    def run(*arguments: Any) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["lunar-offline", *map(str, arguments)])
        before, began = tree(), time.process_time()
        with pytest.raises(SystemExit) as stop:
            main()
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err.count("\n") == 1, said.err
        assert said.err.rstrip("\n").isprintable()
        assert len(said.err) < 700
        assert time.process_time() - began < 2.0
        assert tree() == before
        return int(stop.value.code or 0), said.err

    return run


def tree() -> dict[str, int]:
    return {str(p): p.lstat().st_mtime_ns for p in sorted(Path.cwd().rglob("*"))}


def text(content: str) -> Callable[[Path], object]:
    return lambda path: path.write_text(content)


def link(target: str) -> Callable[[Path], object]:
    return lambda path: path.symlink_to(target)


def sparse(size: int) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        path.touch()
        os.truncate(path, size)

    return make


CONFIGS: list[tuple[Callable[[Path], object], str]] = [
    (text("x = = 1"), "Invalid value"),
    (text("rho = 0.6\nrho = 0.7"), "Cannot overwrite a value"),
    (text("\x1b[2J = 1"), "Invalid statement"),
    (text("penalty_wieght = 1.0"), "'penalty_wieght'; did you mean 'penalty_weight'?"),
    (text("[agent]\ngamma = 0.9"), "unknown key 'gamma'"),
    (text(f"{'k' * 100_000} = 1"), "unknown key 'kkk"),
    (text('rho = "much"'), "rho is not of type float: 'much'"),
    (text("discrete = 1"), "discrete is not of type bool"),
    (text("seed = 1.5"), "seed is not of type int"),
    (text("rho = nan"), "rho nan is outside"),
    (text("utd_ratio = inf"), "utd_ratio inf is below 0.0, or not finite"),
    (text("penalty_weight = -1.0"), "penalty_weight -1.0 is below 0.0"),
    (text(f"penalty_weight = {10**400}"), "penalty_weight is not of type float"),
    (text(f"seed = {10**400}"), "is outside 0 .. 2**63 - 1"),
    (text(f"seed = {'9' * 5000}"), "integer string conversion"),
    (text(f"batch_size = {10**9}"), "batch_size 1000000000 is above 65536"),
    (text(f"buffer_size = {10**12}"), "buffer_size 1000000000000 is above 10000000"),
    (text("threads = 100000"), "threads 100000 is above 1024"),
    (text("[agent]\nhidden = [1e9]"), "hidden is not a list of 1 .. 8 integers"),
    (text("[agent]\nhidden = [1000000000]"), "hidden is not a list of 1 .. 8 integers"),
    (text(f"[agent]\nhidden = {[8] * 10_000}"), "hidden is not a list of 1 .. 8 integers"),
    (text("[agent]\nhidden = [4096, 4096, 4096]"), "of 16 million weights"),
    (text("[agent]\nhidden = [4096, 4096]\nn_critics = 60"), "n_critics 60: too many"),
    (text("[agent]\nn_critics = 1000"), "agent.n_critics 1000 is above 64"),
    (text("[agent]\ndiscount = 1.5"), "agent.discount 1.5 is above 1.0"),
    (text("[agent]\nlearning_rate = nan"), "agent.learning_rate nan is below 0.0, or not finite"),
    (text("[agent]\ninitial_temperature = 0.0"), "agent.initial_temperature 0.0: above 0"),
    (text("agent = 3"), "agent is not a table"),
    (text("[agent.agent.agent]"), "unknown key 'agent'"),
    (text("x = " + "[" * 5000), "nested too deep"),
    # 5,000 parts of a key are 25 million of their prefixes
    (text("rho" + ".a" * 5000 + " = 1"), "a line of more than 100 dots"),
    (text('rho."\u2028"' + '."a"' * 5000 + " = 1"), "a line of more than 100 dots"),
    (text("rho" + ".a" * 90 + " = 1"), "TOML nested too deep"),
    (text("rho = " + "[{a=" * 40 + "1" + "}]" * 40), "TOML nested too deep"),
    (text("seed = 0x" + "f" * 4000), "an integer of more than 10,000 bits"),
    (text("batch_size = 1979-05-27"), "batch_size is not of type int: datetime.date(1979, 5, 27)"),
    (text("rho = 1e400"), "rho inf is outside"),
    (text('"s\u0435ed" = 1'), "'; did you mean 'seed'?"),
    (text('"\u202ereversed" = 1'), r"unknown key '\u202ereversed'"),
    (text("dataset_sha256 = 'abc'"), "dataset_sha256 is not 64 hexadecimal digits"),
    (lambda path: path.write_bytes(b"\xff\xfe"), "can't decode byte"),
    (sparse(100 << 20), "104,857,600 bytes, and at most 131,072 are read"),
    (os.mkfifo, "not a regular file"),
    (Path.mkdir, "not a regular file"),
    (link("/dev/zero"), "a symbolic link, which is not followed"),
]


@pytest.mark.parametrize(("make", "reason"), CONFIGS)
def test_the_users_own_config_is_a_mistake_of_usage(
    call, tmp_path: Path, make: Callable[[Path], object], reason: str
) -> None:
    make(tmp_path / "my.toml")
    # the options are checked before the dataset is looked for
    code, said = call("train", "--config", "my.toml", "--dataset", "none-v0")
    assert code == 2
    assert reason in said


@pytest.mark.parametrize("value", [[], {}, datetime.time(1)])  # no key is of these types
def test_every_key_is_checked_for_its_type_before_it_is_used(value: Any) -> None:
    keys = [f.name for f in dataclasses.fields(TrainConfig) if f.name != "agent"]
    files = {key: {key: value} for key in keys}
    files |= {f.name: {"agent": {f.name: value}} for f in dataclasses.fields(AgentConfig)}
    for key, file in files.items():
        with pytest.raises(UsageError, match=f"{key} is not"):
            resolve(discrete=None, file={"dataset": "none-v0"} | file, options={})


@pytest.mark.parametrize(("make", "reason"), CONFIGS)
def test_a_runs_config_is_refused(
    call, trained: Path, tmp_path: Path, make: Callable[[Path], object], reason: str
) -> None:
    shutil.copytree(trained, tmp_path / "run")
    path = tmp_path / "run" / "config.toml"
    path.unlink()
    make(path)
    code, said = call("train", "--resume", "run")
    assert code == 3
    assert "run/config.toml" in said
    assert reason in said


def test_a_config_that_is_not_the_runs_own_is_refused(call, trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained, tmp_path / "run")
    path = tmp_path / "run" / "config.toml"
    path.write_text(path.read_text().replace("seed = 0", "seed = 1"))
    code, said = call("train", "--resume", "run")
    assert code == 3
    assert "run/config.toml: not the one that the run began with" in said


DAMAGE: list[tuple[str, Callable[[Path], object] | None, str]] = [
    ("provenance.json", None, "provenance.json: missing"),
    ("provenance.json", text(""), "Expecting value"),
    ("provenance.json", text("[]"), "not a JSON object"),
    ("provenance.json", text('{"a": NaN}'), "NaN is no JSON"),
    ("provenance.json", text('{"a": 1, "a": 2}'), "the key 'a' is there twice"),
    ("provenance.json", text("[" * 100_000), "nested too deep"),
    ("provenance.json", text('{"dataset": {"id": "x-v0"}}'), "not the one the run began with"),
    ("provenance.json", sparse(1 << 40), "1,099,511,627,776 bytes, and at most"),
    ("provenance.json", os.mkfifo, "not a regular file"),
    ("provenance.json", link("/dev/zero"), "a symbolic link"),
    ("metrics.jsonl", text("x" * 10_000), "metrics.jsonl: line 1: Expecting value"),
    ("metrics.jsonl", text('{"update_step": NaN}' + " " * 10_000), "NaN is no JSON"),
    ("metrics.jsonl", text("[1]" + " " * 10_000), "line 1 is no line of metrics"),
    ("metrics.jsonl", text('{"update_step":1,"x":1e999}' + " " * 10_000), "no line of metrics"),
    ("metrics.jsonl", text('{"update_step":1,"x":[]}' + " " * 10_000), "no line of metrics"),
    ("metrics.jsonl", None, "the counter metrics_size is"),
    ("metrics.jsonl", sparse(1 << 40), "bytes, and at most"),
    ("metrics.jsonl", Path.mkdir, "not a regular file"),
    ("checkpoints", link("/etc"), "not a folder of this run"),
    ("checkpoints", text("no folder"), "not a folder of this run"),
    ("tensorboard", link("/tmp"), "not a folder of this run"),
]


@pytest.mark.parametrize(("name", "make", "reason"), DAMAGE)
def test_a_damaged_run_is_not_continued(
    call,
    trained: Path,
    tmp_path: Path,
    name: str,
    make: Callable[[Path], object] | None,
    reason: str,
) -> None:
    shutil.copytree(trained, tmp_path / "run")
    path = tmp_path / "run" / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    if make:
        make(path)
    code, said = call("train", "--resume", "run")
    assert code == 3
    assert reason in said


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "Expecting property name"),
        ('{"mean": 1.0, "returns": []}', "evaluate the run again"),
        ('{"mean": 1.0, "returns": [1e999]}', "evaluate the run again"),
        ('{"mean": 1.0, "returns": ["high"]}', "evaluate the run again"),
        ('{"returns": [1.0]}', "evaluate the run again"),
        ('{"mean": 1.0, "returns": [1.0], "fuel": "much"}', "evaluate the run again"),
        ('{"mean": 1.0, "returns": [1.0], "last": []}', "evaluate the run again"),
        ('{"mean": 1.0, "returns": [1.0], "last": {}}', "evaluate the run again"),
        ("[" * 100_000, "nested too deep"),
        (f'{{"mean": 1.0, "returns": [{10**300}]}}', "evaluate the run again"),
    ],
)
def test_a_damaged_evaluation_is_refused(
    call, trained: Path, tmp_path: Path, content: str, reason: str
) -> None:
    shutil.copytree(trained, tmp_path / "run")
    (tmp_path / "run" / "evaluation.json").write_text(content)
    for command in ("video", "stats"):
        code, said = call(command, "run")
        assert code == 3
        assert reason in said


def test_nothing_is_written_through_a_link(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained, tmp_path / "run")
    precious = tmp_path / "precious"
    precious.write_text("mine")
    for name in ("training.png", "evaluation.png", "last.safetensors", "evaluation.json"):
        (tmp_path / "run" / name).unlink()
        (tmp_path / "run" / name).symlink_to(precious)
    again = resume(tmp_path / "run")
    again.train()
    finish(again.run)
    assert precious.read_text() == "mine"
    assert (tmp_path / "run" / "training.png").read_bytes().startswith(b"\x89PNG")
    metrics = tmp_path / "run" / "metrics.jsonl"
    metrics.unlink()
    metrics.symlink_to(precious)
    with pytest.raises(RefusedError):
        resume(tmp_path / "run")
    with pytest.raises(OSError, match="symbolic links"):
        again.run.append_metrics({"update_step": 1})
    assert precious.read_text() == "mine"


ARGUMENTS: list[tuple[list[str], int, str]] = [
    (["train", "--resume", ""], 2, "is not a run directory"),
    (["train", "--resume", "my.toml"], 2, "is not a run directory"),
    (["train", "--resume", "none\x1b[2J"], 2, "none?[2J is not a run directory"),
    (["train", "--resume", "x" * 300], 2, "is not a run directory"),
    (["train", "--resume", "run", "--out", "b"], 2, "leave out --out"),
    (["train", "--resume", "run", "--continuous"], 2, "leave out --discrete/--continuous"),
    (["train", "--resume", "run", "--lagrange-threshold", "1"], 2, "out --lagrange-threshold"),
    (["train", "--rho", "0", "--out", ""], 3, "exists already"),
    (["train", "--rho", "0", "--out", "run"], 3, "continue it with --resume run"),
    (["train", "--rho", "0", "--out", "my.toml"], 3, "exists already, and is no run"),
    (["train", "--rho", "0", "--out", "my.toml/run"], 2, "my.toml/run: Not a directory"),
    (["train", "--rho", "0", "--out", "x" * 300], 2, "File name too long"),
    (["train", "--rho", "0", "--out", "/proc/run"], 2, "/proc/run: "),
    (["train", "--rho", "0", "--out", "link"], 3, "exists already"),
    (["train", "--rho", "0", "--updates", "9"], 2, "--updates and --rho 0.0 exclude each other"),
    (["train", "--rho", "1", "--online-episodes", "9"], 2, "--online-episodes and --rho 1 exclude"),
    (["train", "--rho", "1", "--stop-return", "9"], 2, "--stop-return and --rho 1 exclude"),
    (
        ["train", "--algorithm", "bc", "--penalty-weight", "1"],
        2,
        "--penalty-weight and --algorithm bc exclude each other",
    ),
    (
        ["train", "--penalty", "none", "--penalty-weight", "1"],
        2,
        "--penalty-weight and --penalty none exclude each other",
    ),
    (["evaluate", ""], 2, "no policy"),
    (["evaluate", "my.toml", "--episodes", "1"], 3, "not a safetensors file"),
    (["evaluate", "run", "--out", "my.toml"], 2, "--out my.toml: my.toml is not a folder"),
    (["evaluate", "run", "--out", "my.toml/x"], 2, "my.toml is not a folder"),
    (["sweep", "--rho", "0", "--out", "my.toml"], 2, "my.toml is not a folder"),
    (["sweep", "--rho", "0", "--set", "dataset=3"], 2, "dataset is not of type str: 3"),
    (["sweep", "--rho", "0", "--set", "env=[1]"], 2, "env is not of type str"),
    (["sweep", "--rho", "0", "--set", "agent=3"], 2, "agent is not a table"),
    (["evaluate", "run", "--continuous"], 2, "flies discrete actions"),
    (["evaluate", "x\x1b]0;boo\x07"], 2, "no policy"),
    (["video", "run", "--episode", "../../x"], 2, "is not best, median, worst"),
    (["video", "run", "--episode", "99"], 2, "is not best, median, worst or 0 .. 1"),
    (["video", "run", "--format", "../x"], 2, "is not gif or mp4"),
    (["video", ""], 2, "no evaluation.json"),
]


@pytest.mark.parametrize(("arguments", "code", "reason"), ARGUMENTS)
def test_arguments_that_cannot_be_meant(
    call, trained: Path, tmp_path: Path, arguments: list[str], code: int, reason: str
) -> None:
    shutil.copytree(trained, tmp_path / "run")
    (tmp_path / "my.toml").write_text("pretrain_updates = 0\n[agent]\nhidden = [8]\n")
    (tmp_path / "link").symlink_to("nowhere")
    if arguments[:3] == ["train", "--rho", "0"]:
        arguments = [*arguments, "--config", "my.toml"]
    got, said = call(*arguments)
    assert got == code, said
    assert reason in said


def test_a_start_that_was_killed_can_be_given_again(tmp_path: Path) -> None:
    config = resolve(discrete=True, file=TINY, options={})
    half = tmp_path / ".run.unfinished"
    (half / "checkpoints").mkdir(parents=True)
    (half / "provenance.json").write_text("{")
    assert start(config, tmp_path / "run").run.provenance()["precision"] == "fp32"
    assert not half.exists()


def test_two_processes_do_not_train_one_run(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained, tmp_path / "run")
    training = resume(tmp_path / "run")
    with (
        RunDir.open(tmp_path / "run").writing(0),
        pytest.raises(RefusedError, match="is being trained by another process"),
    ):
        training.train()


def test_another_machine_is_noticed_and_said(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained, tmp_path / "run")
    assert resume(tmp_path / "run").notes == []
    path = tmp_path / "run" / "provenance.json"
    recorded = json.loads(path.read_text())
    recorded["versions"]["torch"] = "0.0\x1b"
    recorded["machine"] |= {
        "threads": 7,
        "cpu_vendor": "Transmeta",
        "cpu_capability": "ALTIVEC",
    }
    recorded["precision"] = "bf16"
    path.write_text(json.dumps(recorded))
    (note,) = resume(tmp_path / "run").notes
    for said in (
        "the run began with torch 0.0",
        "cpu_vendor Transmeta (here ",
        "cpu_capability ALTIVEC (here ",
        "threads 7 (here 1)",
        "precision bf16 (here fp32)",
    ):
        assert said in note


def test_a_pinned_dataset_must_be_that_one(random_dataset: str, tmp_path: Path) -> None:
    found = read_dataset(random_dataset).sha256
    options: dict[str, Any] = {"dataset": random_dataset, "rho": 0.6}
    for pinned, taken in ((found, True), ("0" * 64, False)):
        file = TINY | {"dataset_sha256": pinned}
        config = resolve(discrete=None, file=file, options=options)
        if taken:
            start(config, tmp_path / pinned)
            assert resume(tmp_path / pinned).config.dataset_sha256 == found
            continue
        with pytest.raises(RefusedError, match=f"its sha256 is {found}.* is {pinned}"):
            start(config, tmp_path / pinned)
        assert not (tmp_path / pinned).exists()
    with pytest.raises(UsageError, match="dataset_sha256 without a dataset"):
        resolve(discrete=True, file=TINY | {"dataset_sha256": found}, options={})

"""Commands whose arguments cannot be meant: one line, an exit code, and nothing written."""

import shutil
from pathlib import Path
from typing import Any

import pytest

ARGUMENTS: list[Any] = [  # the arguments, the exit code, and what the line must say
    (["train", "--resume", ""], 2, "is not a run directory"),
    (["train", "--resume", "my.toml"], 2, "is not a run directory"),
    (["train", "--resume", "none\x1b[2J"], 2, "none?[2J is not a run directory"),
    (["train", "--resume", "x" * 300], 2, "is not a run directory"),
    (["train", "--resume", "run", "--out", "b"], 2, "leave out --out"),
    (["train", "--resume", "run", "--continuous"], 2, "leave out --discrete/--continuous"),
    (["train", "--resume", "run", "--lagrange-threshold", "1"], 2, "out --lagrange-threshold"),
    (["train", "--rho", "0", "--out", ""], 3, "already exists"),
    (["train", "--rho", "0", "--out", "run"], 3, "continue it with --resume run"),
    (["train", "--rho", "0", "--out", "my.toml"], 3, "already exists and is not a run directory"),
    (["train", "--rho", "0", "--out", "my.toml/run"], 2, "my.toml/run: Not a directory"),
    (["train", "--rho", "0", "--out", "x" * 300], 2, "File name too long"),
    (["train", "--rho", "0", "--out", "/proc/run"], 2, "/proc/run: "),
    (["train", "--rho", "0", "--out", "link"], 3, "already exists"),
    (["train", "--rho", "0", "--updates", "9"], 2, "--updates and --rho 0.0 cannot be combined"),
    (
        ["train", "--rho", "1", "--online-episodes", "9"],
        2,
        "--online-episodes and --rho 1 cannot be",
    ),
    (["train", "--rho", "1", "--stop-return", "9"], 2, "--stop-return and --rho 1 cannot be"),
    (
        ["train", "--algorithm", "bc", "--penalty-weight", "1"],
        2,
        "--penalty-weight is not an option of algorithm bc",
    ),
    (
        ["train", "--penalty", "none", "--penalty-weight", "1"],
        2,
        "--penalty-weight and --penalty none cannot be combined",
    ),
    (["evaluate", ""], 2, "policy.safetensors: no such policy file"),
    (["evaluate", "my.toml", "--episodes", "1"], 3, "not a safetensors file"),
    (["evaluate", "run", "--out", "my.toml"], 2, "--out my.toml: my.toml is not a folder"),
    (["evaluate", "run", "--out", "my.toml/x"], 2, "my.toml is not a folder"),
    (["sweep", "--rho", "0", "--out", "my.toml"], 2, "my.toml is not a folder"),
    (["sweep", "--rho", "0", "--set", "dataset=3"], 2, "dataset is not of type str: 3"),
    (["sweep", "--rho", "0", "--set", "env=[1]"], 2, "env is not of type str"),
    (["sweep", "--rho", "0", "--set", "agent=3"], 2, "agent is not a table"),
    (["evaluate", "run", "--continuous"], 2, "policy 'run' has discrete actions"),
    (["evaluate", "x\x1b]0;boo\x07"], 2, "no policy"),
    (["video", "run", "--episode", "../../x"], 2, "is not best, median, worst"),
    (["video", "run", "--episode", "9" * 99], 2, "is not best, median, worst or a number"),
    (["video", "run", "--format", "../x"], 2, "is not gif or mp4"),
    (["video", ""], 2, "no policy ''"),
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
    got, printed = call(*arguments)
    assert got == code, printed
    assert reason in printed

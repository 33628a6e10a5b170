"""What a shell offers for the values of options and arguments."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from lunar_offline_cli import completion

from lunar_offline.options import PRESETS
from lunar_offline.training.run_options import agent_options, run_options


def test_completion_of_values(random_dataset: str) -> None:
    penalty, algorithm = agent_options()["penalty"][2], run_options()["algorithm"][2]
    for about, choices in (
        (penalty, ["cql-h", "cql-rho", "eq1", "none"]),
        (algorithm, ["bc", "cql-qr", "cql-sac", "iql", "sac", "td3-bc"]),
        (run_options()["preset"][2], list(PRESETS)),
        (run_options()["dataset"][2], [random_dataset]),
    ):
        complete = completion.of(about)
        assert complete is not None
        assert complete("") == choices
        assert complete(choices[0][:2]) == [c for c in choices if c.startswith(choices[0][:2])]
        assert complete("zzz") == []
    assert completion.of(run_options()["seed"][2]) is None
    assert completion.datasets("lunar") == [random_dataset]


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("train --penalty cql", ["cql-h", "cql-rho"]),
        ("train --algorithm cql-", ["cql-qr", "cql-sac"]),
        ("train --dataset lun", ["lunar-random-v0"]),
        ("dataset show lunar-r", ["lunar-random-v0"]),
        ("sweep --algorithm b", ["bc"]),
        ("train --tracker t", ["tensorboard", "trackio"]),
        ("sweep --tracker wandb,ml", ["wandb,mlflow"]),
        ("collect --policy expert", ["expert-v1", "expert"]),
        ("collect --recipe lunar-mixed-v", ["lunar-mixed-v0"]),
        ("train --env LunarLander-v", ["LunarLander-v3"]),
        ("train --rho-mode b", ["batch", "buffer"]),
        ("train --set agent.penali", ["agent.penalized_rows="]),
        ("video --episode b", ["best"]),
        ("video --format m", ["mp4"]),
        ("video med", ["medium"]),
        ("dataset verify --replay a", ["all"]),
        ("dataset delete lunar-r", ["lunar-random-v0"]),
    ],
)
def test_completion_in_a_shell(random_dataset: str, words: str, offered: list[str]) -> None:
    asked = {
        "_LUNAR_OFFLINE_COMPLETE": "complete_bash",
        "COMP_WORDS": f"lunar-offline {words}",
        "COMP_CWORD": str(len(words.split())),
    }
    command = Path(sys.executable).with_name("lunar-offline")
    done = subprocess.run([command], env=os.environ | asked, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == offered


def test_completion_of_run_directories(tmp_path: Path) -> None:
    (tmp_path / "runs" / "grid" / "a").mkdir(parents=True)
    (tmp_path / "runs" / "grid" / "a" / "config.toml").touch()
    (tmp_path / "runs" / "grid" / "b").mkdir()
    (tmp_path / "runs" / "grid" / "b" / "config.toml").touch()
    (tmp_path / "demo" / "run").mkdir(parents=True)
    (tmp_path / "demo" / "run" / "config.toml").touch()
    assert completion.runs("runs/g") == ["runs/grid/a", "runs/grid/b"]
    assert completion.runs("d") == ["demo/run"]
    assert completion.comparable("") == ["runs/grid", "demo/run", "runs/grid/a", "runs/grid/b"]
    assert completion.runs("x") == []
    assert "runs/grid/a" in completion.policies("")

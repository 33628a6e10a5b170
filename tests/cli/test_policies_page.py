"""The page on policies: its commands and its Python work as printed."""

import re
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sb3_models
import torch
from onnx_models import write_model

PAGE = (Path(__file__).parents[2] / "docs" / "policies.md").read_text()
MODULE, SCRIPT = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
COMMANDS = re.findall(r"^lunar-offline (.*)$", PAGE, re.MULTILINE)

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def _in_its_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    Path("mine.py").write_text(MODULE)
    with torch.random.fork_rng():
        yield
    sys.modules.pop("mine", None)


@pytest.mark.usefixtures("_in_its_folder")
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command(command: str, run: Run) -> None:
    if "ppo.zip" in command:
        sb3_models.train("ppo", Path())
    if "policy.onnx" in command:
        write_model("policy.onnx")
    code, out, err = run(*shlex.split(command), "--quiet")
    assert (code, err) == (0, "")
    assert "return" in out


def test_each_kind_of_policy_has_a_command() -> None:
    for word in ("mine:act", "mine:careless", "ppo.zip", "policy.onnx"):
        assert any(word in command for command in COMMANDS)


def test_the_script() -> None:
    exec(compile(SCRIPT, "policies.md", "exec"), {"__name__": "script"})
    assert Path("expert.safetensors").is_file()


def test_a_zip_that_must_be_trusted(run: Run) -> None:
    sb3_models.train("softplus", Path())
    options = ["--policy", "softplus.zip", "--dataset", "x-v0", "--episodes", 2, "--quiet"]
    code, out, err = run("collect", *options)
    assert (code, out) == (3, "")
    assert err.endswith("add --trust if you trust its origin\n")
    assert err.count("\n") == 1
    assert run("collect", *options, "--trust")[0] == 0
    assert run("evaluate", "softplus.zip", "--episodes", 2, "--trust", "--quiet")[0] == 0


@pytest.mark.parametrize("name", ["x.zip", "x.onnx"])
def test_garbage_is_one_line(name: str, run: Run) -> None:
    Path(name).write_bytes(b"junk" * 99)
    for arguments in (["evaluate", name], ["collect", "--policy", name, "--dataset", "x-v0"]):
        code, out, err = run(*arguments)
        assert (code, out) == (3, "")
        assert err.startswith(f"lunar-offline: {name}: ")
        assert err.count("\n") == 1


def test_a_recipe_of_a_users_zip_runs_no_pickle(run: Run) -> None:
    sb3_models.train("softplus", Path())
    Path("r.toml").write_text('dataset = "x-v0"\n[[sources]]\npolicy = "softplus.zip"\n')
    code, _, err = run("collect", "--recipe", "r.toml")
    assert code == 3
    assert "add --trust" in err

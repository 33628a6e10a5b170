"""The algorithm that docs/your-own-algorithm.md builds, registered by a call and by a package."""

import importlib.util
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch
from lunar_offline_cli.reference import reference_page
from random_batch import random_batch
from small_runs import policy_bytes

import lunar_offline
from lunar_offline.agents import registry
from lunar_offline.agents.nn.action_spec import ActionSpec
from lunar_offline.collection.collect import collect_dataset
from lunar_offline.studies.value_gap import diagnose
from lunar_offline.training.resolve_config import resolve
from lunar_offline.training.run_folder import RunFolder
from lunar_offline.training.start_or_resume import resume, start

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "your-own-algorithm.md").read_text()
FILE, SCRIPT = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
(PROJECT,) = (tomllib.loads(text) for text in re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL))
SMALL = ("--set", "agent.hidden=[8]", "--set", "batch_size=16", "--set", "updates=20")

Command = Callable[..., str]


@pytest.fixture
def awac(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The page's file as a module, registered until the end of the test."""
    (tmp_path / "awac.py").write_text(FILE)
    spec = importlib.util.spec_from_file_location("awac", tmp_path / "awac.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "awac", module)
    spec.loader.exec_module(module)
    registry.register_algorithm(module.ALGORITHM)
    yield module
    registry._called.clear()


@pytest.fixture
def command(tmp_path: Path) -> Command:
    """The command line in an environment where the page's package is installed."""
    site = tmp_path / "site"
    about = site / "lunar_offline_awac-0.1.0.dist-info"
    about.mkdir(parents=True)
    (site / "awac.py").write_text(FILE)
    project = PROJECT["project"]
    (about / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    ((group, points),) = project["entry-points"].items()
    lines = [f"[{group}]", *(f"{name} = {value}" for name, value in points.items())]
    (about / "entry_points.txt").write_text("\n".join(lines) + "\n")

    def run(*arguments: str, **variables: str) -> str:
        path = f"{site}:{ROOT}:{ROOT / 'cli'}"
        environment = {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
        done = subprocess.run(
            [sys.executable, *arguments],
            env=os.environ | environment | variables,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        return done.stdout

    return run


@pytest.mark.parametrize("spec", [ActionSpec(True, 4), ActionSpec(False, 2)])
def test_its_losses_by_hand(awac: ModuleType, spec: ActionSpec) -> None:
    config = awac.AWACConfig(hidden=(16,), advantage_scale=2.0, learning_rate=1e-2)
    learner = registry.make_learner("awac", config, spec, 8, 1)
    batch = random_batch(spec)
    with torch.no_grad():
        q_KB = learner.critic(batch.observations, batch.actions.unsqueeze(1))[:, :, 0]
        log_prob_B = learner.policy.log_prob(learner.policy(batch.observations), batch.actions)
        here, there = learner.draw_noise(2, 10, 1, learner.policy.noise_size)
        v_B = learner.value_of(learner.critic, batch.observations, here)
        next_B = learner.value_of(learner.target_critic, batch.next_observations, there)
    target_B = batch.rewards + 0.99 * next_B * ~batch.terminations
    weight_B = ((q_KB.min(0).values - v_B) / 2.0).exp()
    metrics = learner.update(batch)
    expected = ((q_KB - target_B) ** 2).mean(1).sum().item() / 2
    assert metrics["td_loss"].item() == pytest.approx(expected, rel=1e-4)
    expected = -(weight_B * log_prob_B).mean().item()
    assert metrics["policy_loss"].item() == pytest.approx(expected, rel=1e-4)
    assert set(metrics) == set(awac.ALGORITHM.metrics)


@pytest.mark.parametrize(("discrete", "rho"), [(True, 0.5), (False, 1.0)])
def test_it_trains_and_resumes_to_the_same_bytes(
    awac: ModuleType, monkeypatch: pytest.MonkeyPatch, discrete: bool, rho: float
) -> None:
    monkeypatch.setattr("lunar_offline.training.loop.CHECKPOINT_EVERY", 10)
    options = {"algorithm": "awac", "rho": rho, "batch_size": 16, "warmup_steps": 50}
    options |= {"utd_ratio": 0.2, "random_steps": 0, "validation_episodes": 1}
    options |= {"agent": {"hidden": [8], "advantage_scale": 0.5, "policy_tau": 0.1}}
    options |= {"updates": 30} if rho == 1.0 else {"online_episodes": 2, "validate_every": 1}
    if rho:
        collect_dataset("own-v0", policy="random", discrete=discrete, episodes=3)
        options |= {"dataset": "own-v0"} | ({} if rho == 1.0 else {"pretrain_updates": 20})
    config = resolve(discrete=None if rho else discrete, file={}, options=options)
    whole = start(config, Path("whole"))
    whole.train()
    assert "advantage_scale = 0.5" in Path("whole/config.toml").read_text()
    start(config, Path("again")).train()
    assert policy_bytes(Path("again")) == policy_bytes(Path("whole"))
    newest = max(Path("again/checkpoints").iterdir())
    newest.unlink()  # back to the one before
    for name in ("policy.safetensors", "last.safetensors"):
        Path("again", name).unlink()
    resume(Path("again")).train()
    assert Path("again/last.safetensors").read_bytes() == policy_bytes(Path("whole"))[1]
    result = diagnose(RunFolder.open(Path("whole")), states=2)
    assert result["initial"]["states"] == 2


def test_the_package_gives_the_command_line_its_options(
    command: Command, random_dataset: str
) -> None:
    shown = command("-m", "lunar_offline_cli", "train", "--help")
    assert "--advantage-scale" in shown
    assert re.search(r"One of awac, bc, cql-qr,\s", shown)
    given = ("--dataset", random_dataset, "--rho", "1", "--algorithm", "awac", *SMALL)
    given += ("--advantage-scale", "2.5", "--out", "run", "--json")
    command("-m", "lunar_offline_cli", "train", *given)
    assert "advantage_scale = 2.5" in Path("run/config.toml").read_text()


def test_the_reference_page_has_it(awac: ModuleType) -> None:
    page = reference_page()
    assert f"## `--algorithm awac`\n\n{awac.ALGORITHM.help}" in page
    assert "| `agent.advantage_scale` | `--advantage-scale` | 1 |" in page


def test_a_shell_completes_its_option(command: Command) -> None:
    words = "train --advan"
    asked = {
        "_LUNAR_OFFLINE_COMPLETE": "complete_bash",
        "COMP_WORDS": f"lunar-offline {words}",
        "COMP_CWORD": str(len(words.split())),
    }
    code = "from lunar_offline_cli.app import app; app(prog_name='lunar-offline')"
    assert command("-c", code, **asked).split() == ["--advantage-scale"]


def test_a_sweep_has_its_options(command: Command, random_dataset: str) -> None:
    given = ("--dataset", random_dataset, "--rho", "1", "--algorithm", "awac", *SMALL)
    axis = ("--set", "agent.advantage_scale=2", "--set", "evaluation_episodes=2")
    sweep = ("sweep", "--seeds", "1", "--jobs", "1", "--out", "grid", "--json")
    command("-m", "lunar_offline_cli", *sweep, *given, *axis)
    assert "advantage_scale = 2.0" in Path("grid/seed=0/config.toml").read_text()
    assert Path("grid/seed=0/evaluation.json").is_file()


@pytest.mark.skipif(not hasattr(lunar_offline, "train"), reason="no public API in this tree")
def test_the_script_runs(command: Command, tmp_path: Path) -> None:
    (tmp_path / "awac.py").write_text(FILE)
    collect_dataset("lunar-try-v0", policy="random", discrete=True, episodes=3)
    small = SCRIPT.replace("updates=5000", "updates=20").replace("episodes=100", "episodes=2")
    assert small != SCRIPT
    (tmp_path / "script.py").write_text(small)
    assert re.fullmatch(r"-?\d+\.\d+\n", command(str(tmp_path / "script.py")))

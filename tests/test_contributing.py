"""The four changes that CONTRIBUTING shows are applied to a copy of the code, and work."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DIFFS = re.findall(r"```diff\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL)
SETTINGS = (
    "rho=1.0",
    "updates=1000",
    "batch_size=16",
    "agent.hidden=[8]",
)

Command = Callable[..., str]


def apply(diff: str, root: Path) -> str:
    """Apply a diff whose hunks have no line numbers; return the one file that it touches."""
    header, *hunks = re.split(r"^@@\n", diff, flags=re.MULTILINE)
    (name,) = re.findall(r"^\+\+\+ b/(.*)$", header, re.MULTILINE)
    path = root / name
    text = path.read_text() if path.exists() else ""
    for hunk in hunks:
        lines = hunk.splitlines()
        before = "".join(f"{line[1:]}\n" for line in lines if not line.startswith("+"))
        after = "".join(f"{line[1:]}\n" for line in lines if not line.startswith("-"))
        assert text.count(before) == 1 or not text, f"{name}: not found once:\n{before}"
        text = text.replace(before, after, 1) if text else after
    path.write_text(text)
    return name


@pytest.fixture
def changed(tmp_path: Path) -> Callable[[int], tuple[str, Command]]:
    """Return what applies change `index` and gives its file, and the command line of the copy."""

    def change(index: int) -> tuple[str, Command]:
        copy = tmp_path / "copy"
        for folder in ("lunar_offline", "cli"):
            shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pyc*"))
        (copy / "datasets").symlink_to(ROOT / "datasets")
        name = apply(DIFFS[index], copy)

        def command(*arguments: str) -> str:
            environment = os.environ | {"PYTHONPATH": f"{copy}:{copy / 'cli'}"}
            done = subprocess.run(
                [sys.executable, *arguments],
                env=environment | {"OMP_NUM_THREADS": "1"},
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stderr
            return done.stdout

        assert str(copy) in command("-c", "import lunar_offline; print(lunar_offline.__file__)")
        return name, command

    return change


def train(command: Command, dataset: str, *options: str) -> None:
    settings = [word for setting in SETTINGS for word in ("--set", setting)]
    given = ["--dataset", dataset, "--out", "run", *settings, *options]
    command("-m", "lunar_offline_cli", "train", *given)


def intervals() -> list[dict]:
    lines = [json.loads(line) for line in Path("run/metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if line["kind"] == "interval"]


def test_there_are_four_and_each_touches_one_file() -> None:
    assert len(DIFFS) == 4
    assert all(diff.count("+++ b/") == 1 for diff in DIFFS)


def test_a_metric(changed: Callable[[int], tuple[str, Command]], random_dataset: str) -> None:
    _, command = changed(0)
    train(command, random_dataset)
    assert intervals()[0]["q_std"] > 0.0
    assert "| `q_std` | standard deviation" in command("-m", "lunar_offline_cli.reference")


def test_an_option(changed: Callable[[int], tuple[str, Command]], random_dataset: str) -> None:
    _, command = changed(1)
    train(command, random_dataset, "--set", "agent.reward_scale=0.0625")
    assert "reward_scale = 0.0625" in Path("run/config.toml").read_text()
    scaled = intervals()[0]["td_loss"]
    shutil.rmtree("run")
    train(command, random_dataset)
    assert intervals()[0]["td_loss"] > 10.0 * scaled
    assert "| `agent.reward_scale` |" in command("-m", "lunar_offline_cli.reference")


def test_an_env(changed: Callable[[int], tuple[str, Command]]) -> None:
    _, command = changed(2)
    script = """
import numpy as np
from lunar_offline.envs.registry import DEFAULT_ENV, find_env, registered_envs
env = find_env("CartPole-v1")
assert env in registered_envs() and registered_envs()[0].env_id == DEFAULT_ENV
made = env.make()
assert (made.observation_space, made.action_space) == (env.observation_space, env.action_space)
from lunar_offline.datasets.description import describe_dataset
from lunar_offline.collection.episodes import collect_episodes
from lunar_offline.datasets.episode_file import EpisodeFile
from lunar_offline.datasets.publish import publish
from lunar_offline.policies.acting import random_act
recorded = EpisodeFile(collect_episodes(env, random_act(env), seed=0, episodes=range(6)))
info = describe_dataset("cart-v0", recorded.episodes, env, recorded_from="random actions",
                        algorithm="random", recipe={"env_id": env.env_id, "env_kwargs": {},
                        "seed": 0, "sources": [{"policy": "random", "episodes": 6}]})
publish("cart-v0", recorded, env, info)
"""
    command("-c", script)
    shown = json.loads(command("-m", "lunar_offline_cli", "dataset", "show", "cart-v0", "--json"))
    assert (shown["env"], shown["episodes"]) == ("CartPole-v1", 6)
    train(command, "cart-v0")  # no --env: it is a registered one
    assert 'env = "CartPole-v1"' in Path("run/config.toml").read_text()


def test_an_algorithm(changed: Callable[[int], tuple[str, Command]], random_dataset: str) -> None:
    _, command = changed(3)
    help_text = command("-m", "lunar_offline_cli", "train", "--help")
    assert "--noise" in help_text
    assert "noisy-bc" in help_text
    train(command, random_dataset, "--algorithm", "noisy-bc", "--noise", "0.5")
    assert "noise = 0.5" in Path("run/config.toml").read_text()
    noisy = intervals()[0]["policy_loss"]
    shutil.rmtree("run")
    train(command, random_dataset, "--algorithm", "noisy-bc", "--noise", "0")
    assert intervals()[0]["policy_loss"] < noisy  # noise makes the actions harder to tell


def test_the_reference_page_is_current() -> None:
    made = subprocess.run(
        [sys.executable, "-m", "lunar_offline_cli.reference"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert made.stdout == (ROOT / "docs" / "reference.md").read_text()

"""The same seed gives the same bytes, through the command line and in processes of their own."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

CONFIG = """
pretrain_updates = 10
online_episodes = 2
warmup_steps = 20
validation_episodes = 1
evaluation_episodes = 2
batch_size = 16
[agent]
hidden = [8]
"""
FILES = ("policy.safetensors", "last.safetensors", "evaluation.json")


def command(root: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "lunar_offline_cli", *arguments],
        cwd=root,
        env=os.environ | {"MINARI_DATASETS_PATH": str(root / "datasets")},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def made(root: Path, hash_seed: str) -> dict[str, Any]:
    """Collect, train and evaluate; return what must be the same."""
    root.mkdir()
    (root / "small.toml").write_text(CONFIG)
    os.environ["PYTHONHASHSEED"] = hash_seed
    command(root, *"collect --policy medium --episodes 3 --dataset x-v0 --seed 5".split())
    command(root, *"train --dataset x-v0 --config small.toml --out run --seed 5".split())
    content = {name: (root / "run" / name).read_bytes() for name in FILES}
    found = {name: hashlib.sha256(value).hexdigest() for name, value in content.items()}
    data = (root / "datasets" / "x-v0" / "data" / "main_data.hdf5").read_bytes()
    found["dataset"] = hashlib.sha256(data).hexdigest()
    found["judged"] = json.loads(command(root, *"evaluate run --episodes 2 --json".split()))
    return found


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("PYTHONHASHSEED", "0")
    assert made(tmp_path / "a", "1") == made(tmp_path / "b", "2")

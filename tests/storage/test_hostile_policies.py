"""Damaged policies, and policies from unknown sources: refused at once, with the reason."""

import json
import os
import random
import shutil
import struct
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hostile_tensors import ANY, Case, counter, edit, mutated, names
from lunar_offline_cli.app import main
from safetensors import safe_open

from lunar_offline.collection.collect import collect_dataset
from lunar_offline.envs.lander import DISCRETE
from lunar_offline.errors import RefusedError
from lunar_offline.policies.behavior import behavior_policy, shipped_policy
from lunar_offline.policies.policy_file import read_policy_file
from lunar_offline.storage.tensor_file import BLANK

MUTATIONS = int(os.environ.get("MUTATIONS", "300"))
NAN = struct.pack("<f", float("nan"))

POLICY: list[Case] = [
    ("NaN", edit(lambda d: d.overwrite("net.0.weight", NAN)), "net.0.weight is not finite"),
    ("missing", edit(lambda d: d.entries.pop("net.0.bias")), "net.0.bias is missing"),
    ("1e9 wide", counter(hidden=[10**9]), "the policy header is damaged"),
    ("a GB of weights", counter(hidden=[4096] * 8), "the policy header is damaged"),
    ("no layer", counter(hidden=[]), "the policy header is damaged"),
    ("a true width", counter(hidden=[True]), "the policy header is damaged"),
    ("deep", counter(hidden=[[[[[1]]]]]), "the policy header is damaged"),
    ("1 for continuous", counter(continuous=1), "the policy header is damaged"),
    ("two digests", counter(provenance={"z": BLANK}), "its sha256 more than once"),
    ("another width", counter(hidden=[9]), "not the expected one"),
    ("more layers", counter(hidden=[8, 8]), "net.4.bias is missing"),
    ("a word more", counter(extra=1), "the policy header is damaged"),
    ("provenance", counter(provenance=[]), "the policy header is damaged"),
    ("no provenance", edit(lambda d: d.about.pop("provenance")), "the policy header is damaged"),
]


@pytest.mark.parametrize(("_name", "change", "reason"), ANY + POLICY, ids=names(ANY + POLICY))
def test_a_hostile_policy_is_refused(
    _name: str,
    change: Callable[[Path], None],
    reason: str,
    refused: Callable[..., str],
    trained: Path,
    tmp_path: Path,
) -> None:
    shutil.copytree(trained, tmp_path / "run")
    change(tmp_path / "run" / "policy.safetensors")
    assert reason in refused("evaluate", "run", "--episodes", 1)
    if (tmp_path / "run" / "policy.safetensors").is_dir():
        return
    assert reason in refused("evaluate", "run/policy.safetensors", "--episodes", 1)


@pytest.mark.parametrize(
    ("name", "code", "reason"),
    [
        ("thresholded:" * 3000 + "expert", 2, "has the prefix thresholded: twice"),
        ("x" * 5000, 2, "no policy 'xxx"),
        ("x" * 300 + "/y", 2, "no policy 'xxx"),
        ("a\udcff", 2, "no policy 'a\\udcff'"),
        ("/dev/zero", 3, "/dev/zero: not a regular file"),
        ("/proc/self/mem", 3, "/proc/self/mem: Input/output error"),
        ("/etc/passwd", 3, "/etc/passwd: not a safetensors file"),
    ],
)
def test_a_hostile_name_of_a_policy(
    name: str, code: int, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    arguments = ["collect", "--policy", name, "--dataset", "x-v0"]
    monkeypatch.setattr(sys, "argv", ["lunar-offline", *arguments])
    with pytest.raises(SystemExit) as stop:
        main()
    printed = capsys.readouterr().err
    assert stop.value.code == code
    assert reason in printed
    assert printed.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["\u202e\x1b[2J", "\udcff", "\n"])
def test_a_policy_of_an_unprintable_name_gets_another(name: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{name}.safetensors"
    shutil.copy(shipped_policy("medium", DISCRETE), path)
    collected = collect_dataset("x-v0", policy=str(path), episodes=1)
    for file in ("README.md", "manifest.json", "data/metadata.json"):
        text = (collected.path / file).read_text()
        assert "a?" in text
        assert all(line.isprintable() for line in text.splitlines())


def test_no_mutation_of_a_policy_is_silent(trained: Path, tmp_path: Path) -> None:
    choose, path = random.Random(0), tmp_path / "p.safetensors"
    for whole, sha256 in (
        (trained / "policy.safetensors", None),
        # without a digest of its own: its card has it
        (shipped_policy("medium", DISCRETE), behavior_policy("medium", discrete=True).sha256),
    ):
        content = whole.read_bytes()
        for _ in range(MUTATIONS // 2):
            changed = mutated(content, choose)
            path.write_bytes(changed)
            if changed == content:
                read_policy_file(path, sha256=sha256)
                continue
            with pytest.raises(RefusedError):
                read_policy_file(path, sha256=sha256)


def test_a_policy_is_plain_safetensors(trained: Path) -> None:
    stored = read_policy_file(trained / "policy.safetensors").policy.net.named_tensors()
    with safe_open(trained / "policy.safetensors", framework="pt") as file:
        assert set(file.keys()) == set(stored)
        assert all(torch.equal(file.get_tensor(name), stored[name]) for name in stored)
        assert json.loads(file.metadata()["lunar_offline"])["hidden"] == [8]


def test_a_shipped_policy_that_was_changed_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(shipped_policy("medium", DISCRETE).parent, tmp_path / "policies")
    path = tmp_path / "policies" / "medium-discrete.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[:-7] + bytes([content[-7] ^ 4]) + content[-6:])
    monkeypatch.setattr("lunar_offline.policies.behavior.package_data", lambda: tmp_path)
    with pytest.raises(RefusedError, match=r"its sha256 is .*, and must be 6a6e5a2e"):
        behavior_policy("medium", discrete=True)

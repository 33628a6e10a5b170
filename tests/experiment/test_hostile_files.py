"""Policies and checkpoints of strangers, and damaged ones: refused, with the reason, at once."""

import io
import json
import os
import pickle
import random
import shutil
import struct
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hostile import Draft
from lunar_offline_cli.app import main
from safetensors import safe_open
from safetensors.torch import save

from lunar_offline.errors import RefusedError
from lunar_offline.experiment.behavior import behavior_policy, bundled_policy
from lunar_offline.experiment.collection import collect_dataset
from lunar_offline.experiment.launch import resolve, resume, start
from lunar_offline.experiment.learners import checkpoint_spec, learner_of
from lunar_offline.experiment.policy_file import load_policy
from lunar_offline.experiment.tensor_file import BLANK

TINY: dict[str, Any] = {
    "rho": 0.0,
    "pretrain_updates": 0,
    "online_episodes": 1,
    "random_steps": 50,
    "warmup_steps": 50,
    "validate_every": 1,
    "validation_episodes": 1,
    "evaluation_episodes": 1,
    "batch_size": 8,
    "buffer_size": 64,
    "utd_ratio": 0.2,
    "agent": {"hidden": [8]},
}

Case = tuple[str, Callable[[Path], None], str]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with one checkpoint; never to be changed."""
    run = tmp_path_factory.mktemp("hostile") / "run"
    start(resolve(discrete=True, file=TINY, options={}), run).train()
    (newest, *older) = sorted((run / "checkpoints").iterdir(), reverse=True)
    for path in older:
        path.unlink()
    assert newest.stat().st_size > 1_000
    return run


def checkpoint_of(run: Path) -> Path:
    (path,) = (run / "checkpoints").iterdir()
    return path


def tree(folder: Path) -> dict[str, tuple[int, int]]:
    found = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        found[str(path.relative_to(folder))] = (status.st_mtime_ns, status.st_size)
    return found


def refused(
    arguments: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> str:
    """Run a command that must end with code 3 and one line, soon and in little memory."""
    monkeypatch.setattr(sys, "argv", ["lunar-offline", *map(str, arguments)])
    before = tree(Path.cwd())
    tracemalloc.start()
    began = time.process_time()
    with pytest.raises(SystemExit) as stop:
        main()
    took, (_, peak) = time.process_time() - began, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    said = capsys.readouterr()
    assert (stop.value.code, said.out) == (3, ""), said
    assert said.err.count("\n") == 1
    assert said.err.rstrip("\n").isprintable()
    assert len(said.err) < 700
    assert took < 2.0
    assert peak < 64 << 20
    assert tree(Path.cwd()) == before
    return said.err


def edit(change: Callable[[Draft], object]) -> Callable[[Path], None]:
    """Change a file's parts and seal it again: only the parser stands between it and us."""

    def apply(path: Path) -> None:
        draft = Draft(path.read_bytes())
        change(draft)
        path.write_bytes(draft.sealed())

    return apply


def rewrite(change: Callable[[str], str]) -> Callable[[Path], None]:
    """Change the header's text and seal it again."""

    def apply(path: Path) -> None:
        path.write_bytes(Draft(path.read_bytes()).sealed(change))

    return apply


def replace(content: bytes | Callable[[bytes], bytes]) -> Callable[[Path], None]:
    """Put other bytes in the file's place."""

    def apply(path: Path) -> None:
        path.write_bytes(content if isinstance(content, bytes) else content(path.read_bytes()))

    return apply


def instead(make: Callable[[Path], object]) -> Callable[[Path], None]:
    """Put something else in the file's place."""

    def apply(path: Path) -> None:
        whole = path.with_name("elsewhere")
        path.rename(whole)
        make(path)

    return apply


def saved(**tensors: torch.Tensor) -> bytes:
    content = io.BytesIO()
    torch.save(tensors, content)
    return content.getvalue()


def counter(**values: Any) -> Callable[[Path], None]:
    return edit(lambda draft: draft.about.update(values))


def first(draft: Draft) -> dict[str, Any]:
    return draft.entries["net.0.weight" if "net.0.weight" in draft.entries else "policy.net.flat"]


def swap_offsets(draft: Draft) -> None:
    a, b = (e for e in list(draft.entries.values())[:2])
    a["data_offsets"], b["data_offsets"] = b["data_offsets"], a["data_offsets"]


DEEP = "[" * 100_000 + "]" * 100_000
SHORT = "not a safetensors file, or cut short in its header"

# what any file of tensors can be made into
ANY: list[Case] = [
    ("zero length", replace(b""), SHORT),
    ("garbage", replace(b"\xff" * 500), SHORT),
    ("pickle", replace(pickle.dumps({"a": np.zeros(50)})), SHORT),
    ("torch.save", replace(saved(a=torch.zeros(50))), SHORT),
    ("8 exabytes of header", replace(lambda c: struct.pack("<Q", 2**63 - 1) + c[8:]), SHORT),
    ("cut in its header", replace(lambda c: c[:60]), SHORT),
    ("cut in its tensors", replace(lambda c: c[:-1]), "bytes of tensors"),
    ("longer than announced", replace(lambda c: c + b"\0"), "bytes of tensors"),
    ("a flipped weight", replace(lambda c: c[:-7] + bytes([c[-7] ^ 4]) + c[-6:]), "the sha256 in"),
    ("plain safetensors", replace(save({"a": torch.zeros(2)})), "not a lunar-offline-"),
    ("a list as header", rewrite(lambda h: "[]"), "not a lunar-offline-"),
    ("deep header", rewrite(lambda h: DEEP), "nested too deep"),
    ("not JSON", rewrite(lambda h: h[1:]), "Extra data"),
    ("NaN in its header", rewrite(lambda h: h.replace("[", "[NaN,", 1)), "NaN is no JSON"),
    ("the same key twice", rewrite(lambda h: h[:-1] + ',"x":1,"x":2}'), "'x' is there twice"),
    ("another format", edit(lambda d: d.about.update(format="x-1")), "but 'x-1'"),
    ("no digest", edit(lambda d: d.about.pop("sha256")), "its header has no sha256"),
    ("1e11 elements", edit(lambda d: first(d).update(shape=[10**11])), "not that of its network"),
    ("overflow", edit(lambda d: first(d).update(shape=[2**40, 2**40])), "not that of its network"),
    ("negative shape", edit(lambda d: first(d).update(shape=[-1, 8])), "entry of"),
    ("true as a shape", edit(lambda d: first(d).update(shape=[True, 8])), "entry of"),
    ("another dtype", edit(lambda d: first(d).update(dtype="F64")), "is 'F64', not torch.float32"),
    ("no dtype", edit(lambda d: first(d).update(dtype="\x1b[2J")), "not torch.float32"),
    ("an extra field", edit(lambda d: first(d).update(strides=[1])), "entry of"),
    ("overlap", edit(lambda d: first(d).update(data_offsets=[0, 4])), "does not lie where the one"),
    ("swapped", edit(swap_offsets), "does not lie where the one before it ends"),
    (
        "an extra tensor",
        edit(lambda d: d.append("e", "F32", [1], b"\0" * 4)),
        "'e' does not belong",
    ),
    ("control bytes", edit(lambda d: d.append("\x1b[2J\n", "F32", [0], b"")), "does not belong"),
    ("a fifo", instead(os.mkfifo), "not a regular file"),
    ("a folder", instead(Path.mkdir), "not a regular file"),
    ("a link", instead(lambda p: p.symlink_to("elsewhere")), "a symbolic link, which is not"),
    ("/dev/zero", instead(lambda p: p.symlink_to("/dev/zero")), "a symbolic link, which is not"),
]

NAN, TWO = struct.pack("<f", float("nan")), b"\2"
CHECKPOINT: list[Case] = [
    ("NaN weights", edit(lambda d: d.overwrite("critic.members.flat", NAN)), "is not finite"),
    ("NaN moments", edit(lambda d: d.overwrite("optimizer.policy.exp_avg", NAN)), "is not finite"),
    ("missing", edit(lambda d: d.entries.pop("log_temperature")), "log_temperature is missing"),
    ("negative", counter(update_step=-1), "the counter update_step is -1, not 0 .. "),
    ("huge", counter(env_step=10**30), "the counter env_step is 1000000"),
    ("a float", counter(episode=1.0), "the counter episode is 1.0, not 0 .. 1"),
    ("a bool", counter(episode=True), "the counter episode is True"),
    ("beyond the run", counter(episode=2), "the counter episode is 2, not 0 .. 1"),
    ("cursor outside", counter(cursor=64), "the counter cursor is 64, not 0 .. 63"),
    ("metrics to come", counter(metrics_size=10**6), "the counter metrics_size is 1000000"),
    ("another's", counter(update_step=3), "its counters are those of another checkpoint"),
    ("no flag", counter(stopped_early=0), "the counter stopped_early is 0"),
    ("best", counter(best_validation="high"), "the counter best_validation is 'high'"),
    ("averages", counter(averages={"n": 1, "sums": {"a\x1b": 1.0}}), "averages is damaged"),
    ("one too many", counter(**{"x" * 90: 1}), "is missing or unknown"),
    ("one too few", edit(lambda d: d.about.pop("cursor")), "the counter 'cursor' is missing"),
    ("an end flag", edit(lambda d: d.overwrite("replay.offline", TWO)), "not of zeros and ones"),
    ("NaN in the replay", edit(lambda d: d.overwrite("replay.records", NAN)), "not finite"),
    (
        "an action",
        edit(lambda d: d.overwrite("replay.records", b"\0" * 64 + b"\x09")),
        "an action that the env does not take",
    ),
]


def names(cases: list[Case]) -> list[str]:
    return [name for name, _, _ in cases]


@pytest.mark.parametrize(
    ("_name", "change", "reason"), ANY + CHECKPOINT, ids=names(ANY + CHECKPOINT)
)
def test_a_hostile_checkpoint_is_refused(
    _name: str,
    change: Callable[[Path], None],
    reason: str,
    trained: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copytree(trained, tmp_path / "run")
    path = checkpoint_of(tmp_path / "run")
    change(path)
    assert reason in refused(["train", "--resume", "run"], monkeypatch, capsys)


POLICY: list[Case] = [
    ("NaN", edit(lambda d: d.overwrite("net.0.weight", NAN)), "net.0.weight is not finite"),
    ("missing", edit(lambda d: d.entries.pop("net.0.bias")), "net.0.bias is missing"),
    ("1e9 wide", counter(hidden=[10**9]), "the policy header is damaged"),
    ("a GB of weights", counter(hidden=[4096] * 8), "the policy header is damaged"),
    ("no layer", counter(hidden=[]), "the policy header is damaged"),
    ("a true width", counter(hidden=[True]), "the policy header is damaged"),
    ("deep", counter(hidden=[[[[[1]]]]]), "the policy header is damaged"),
    ("1 for continuous", counter(continuous=1), "the policy header is damaged"),
    ("two digests", counter(provenance={"z": BLANK}), "its sha256 in more than one place"),
    ("another width", counter(hidden=[9]), "not that of its network"),
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
    trained: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copytree(trained, tmp_path / "run")
    change(tmp_path / "run" / "policy.safetensors")
    assert reason in refused(["evaluate", "run", "--episodes", 1], monkeypatch, capsys)
    if (tmp_path / "run" / "policy.safetensors").is_dir():
        return
    named = ["evaluate", "run/policy.safetensors", "--episodes", 1]
    assert reason in refused(named, monkeypatch, capsys)


@pytest.mark.parametrize(
    ("name", "code", "reason"),
    [
        ("thresholded:" * 3000 + "expert", 2, "thresholded: stands twice"),
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
    said = capsys.readouterr().err
    assert stop.value.code == code
    assert reason in said
    assert said.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["\u202e\x1b[2J", "\udcff", "\n"])
def test_a_policy_of_an_unprintable_name_flies_under_another(name: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{name}.safetensors"
    shutil.copy(bundled_policy("medium", discrete=True), path)
    collected = collect_dataset("x-v0", policy=str(path), episodes=1)
    for file in ("README.md", "manifest.json", "data/metadata.json"):
        text = (collected.path / file).read_text()
        assert "a?" in text
        assert all(line.isprintable() for line in text.splitlines())


MUTATIONS = int(os.environ.get("MUTATIONS", "300"))


def mutated(content: bytes, choose: random.Random) -> bytes:
    """Flip a bit, set a byte, zero a stretch, or drop or double one."""
    changed, at = bytearray(content), choose.randrange(len(content))
    if choose.random() < 0.3:  # the header is a small part of the file, and the delicate one
        at = choose.randrange(min(800, len(content)))
    length = choose.randrange(1, 9)
    kind = choose.randrange(5)
    if kind == 0:
        changed[at] ^= 1 << choose.randrange(8)
    elif kind == 1:
        changed[at] = choose.randrange(256)
    elif kind == 2:
        changed[at : at + length] = bytes(len(changed[at : at + length]))
    elif kind == 3:
        del changed[at : at + length]
    else:
        changed[at:at] = changed[at : at + length]
    return bytes(changed)


def test_no_mutation_of_a_policy_is_silent(trained: Path, tmp_path: Path) -> None:
    choose, path = random.Random(0), tmp_path / "p.safetensors"
    for whole, sha256 in (
        (trained / "policy.safetensors", None),
        # without a digest of its own: its card has it
        (bundled_policy("medium", discrete=True), behavior_policy("medium", discrete=True).sha256),
    ):
        content = whole.read_bytes()
        for _ in range(MUTATIONS // 2):
            changed = mutated(content, choose)
            path.write_bytes(changed)
            if changed == content:
                load_policy(path, sha256=sha256)
                continue
            with pytest.raises(RefusedError):
                load_policy(path, sha256=sha256)


def test_no_mutation_of_a_checkpoint_is_silent(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained, tmp_path / "run")
    run = resume(tmp_path / "run").run
    config, path, choose = run.config(), checkpoint_of(run.path), random.Random(1)
    spec, content = checkpoint_spec(config, learner_of(config)), path.read_bytes()
    assert run.load_checkpoint(config, spec) is not None
    for _ in range(MUTATIONS):
        changed = mutated(content, choose)
        path.write_bytes(changed)
        if changed == content:
            continue
        with pytest.raises(RefusedError, match="no checkpoint can be read"):
            run.load_checkpoint(config, spec)


def test_a_policy_is_plain_safetensors(trained: Path) -> None:
    stored = load_policy(trained / "policy.safetensors").policy.net.named_tensors()
    with safe_open(trained / "policy.safetensors", framework="pt") as file:
        assert set(file.keys()) == set(stored)
        assert all(torch.equal(file.get_tensor(name), stored[name]) for name in stored)
        assert json.loads(file.metadata()["lunar_offline"])["hidden"] == [8]


def test_a_shipped_policy_that_was_changed_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(bundled_policy("medium", discrete=True).parent, tmp_path / "policies")
    path = tmp_path / "policies" / "medium-discrete.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[:-7] + bytes([content[-7] ^ 4]) + content[-6:])
    monkeypatch.setattr("lunar_offline.experiment.behavior.resources", lambda: tmp_path)
    with pytest.raises(RefusedError, match=r"its sha256 is .*, and must be 6a6e5a2e"):
        behavior_policy("medium", discrete=True)


def test_another_damaged_checkpoint_is_passed_over(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained, tmp_path / "run")
    newest = checkpoint_of(tmp_path / "run")
    older = newest.with_name("000000001-000000001.safetensors")
    draft = Draft(newest.read_bytes())
    draft.about.update(update_step=1, env_step=1)
    older.write_bytes(draft.sealed())
    replace(lambda c: c[:-1])(newest)
    again = resume(tmp_path / "run")
    assert again.learner.update_step == 1
    (note,) = again.notes
    assert "bytes of tensors" in note
    assert "going on from the checkpoint before" in note

"""Training stops at any moment, by any cause, and goes on with the same bits."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

CONFIG = """
pretrain_updates = 40
online_episodes = 5
warmup_steps = 50
validate_every = 1
validation_episodes = 1
evaluation_episodes = 3
batch_size = 32
buffer_size = 300
utd_ratio = 0.25
balanced = true
[agent]
hidden = [16]
policy_tau = 0.1
"""

# Children are forks of a process that has imported everything: a start costs nothing, and the code
# is the real one. Checkpoints come often, so that there is something to stop in.
HEAD = """
import gc, json, os, random, resource, signal, sys, time
from pathlib import Path
import lunar_offline.data.workers
import lunar_offline.experiment.train as train
import lunar_offline.experiment.launch, rich.progress
import tensorboard.compat.proto.event_pb2, tensorboard.summary.writer.record_writer
from lunar_offline_cli.app import main

lunar_offline.data.workers.usable_cores = lambda: 1
for name in ("training_figure", "evaluation_figure"):  # half of so short a run's time
    setattr(lunar_offline.experiment.launch, name, lambda *_, **__: None)
# a checkpoint always comes between two lines of the log, with sums that are under way
train.CHECKPOINT_EVERY, train.LOG_EVERY, train.ACCUMULATE_EVERY = 10, 16, 2
choose = random.Random(0)
gc.freeze()

def begin(out, limit=None):
    again = os.path.lexists(out)
    command = ["--resume", out] if again else [*sys.argv[2:], "--out", out]
    descriptor = os.open(f"{out}.said", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    child = os.fork()
    if not child:
        os.dup2(descriptor, 1), os.dup2(descriptor, 2)
        sys.argv = ["lunar-offline", "train", *command]
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        try:
            main()
        except SystemExit as stop:  # as Python ends with it, less a second of tidying up
            sys.stdout.flush(), sys.stderr.flush()
            os._exit(stop.code)
    os.close(descriptor)
    return child

def ended(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

def alive(child):
    return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None

def checkpoints(out):
    folder = Path(out) / "checkpoints"
    return sorted(p for p in folder.iterdir() if p.name[0] != ".") if folder.is_dir() else []

def wait(child, until):
    while alive(child) and not until():
        time.sleep(0.001)
"""


@dataclass(frozen=True)
class Ground:
    """A folder with a config and a dataset, and the record of the run that nothing disturbs."""

    folder: Path
    whole: dict[str, Any]


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    folder = tmp_path_factory.mktemp("crashes")
    (folder / "small.toml").write_text(CONFIG)
    fork(
        folder,
        """
from lunar_offline.experiment.collection import collect_dataset
collect_dataset("lunar-random-v0", policy="random", discrete=True, episodes=12)
assert ended(begin("whole")) == 0, open("whole.said").read()
""",
    )
    return Ground(folder, record(folder / "whole"))


def fork(folder: Path, body: str, argument: str = "0") -> str:
    """Run HEAD and a body; return what the body printed."""
    script = folder / "script.py"
    script.write_text(HEAD + body)
    options = ["--config", "small.toml", "--dataset", "lunar-random-v0"]
    done = subprocess.run(
        [sys.executable, script, argument, *options],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env=os.environ | {"MINARI_DATASETS_PATH": str(folder / "datasets")},
        # a shell's background job ignores Ctrl-C, and so would what it starts
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def record(run: Path) -> dict[str, Any]:
    """Return all that must come out the same."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    names = ("policy.safetensors", "last.safetensors", "evaluation.json")
    found: dict[str, Any] = {name: (run / name).read_bytes() for name in names}
    found["metrics"] = [{k: v for k, v in x.items() if k != "updates_per_s"} for x in lines]
    newest = max((run / "checkpoints").iterdir())
    found["checkpoint"] = newest.name
    return found


KILLS = """
killed, rounds, where = 0, 0, {}
while killed < int(sys.argv[1]):
    out, rounds, spoiled = f"killed{rounds}", rounds + 1, False
    while True:
        child, before = begin(out), checkpoints(out)
        if spoiled:
            told = lambda: "going on from the checkpoint before" in open(f"{out}.said").read()
            wait(child, told)
            assert told()
        if Path(out, "last.safetensors").exists():
            if choose.random() < 0.5:
                assert ended(child) == 0
                break
            kind = "evaluation"
        else:
            kind = choose.choice(["checkpoint", "any", "any", "start"])
        steps = choose.randrange(1, 4)
        if kind == "start":
            time.sleep(choose.random() * 0.1)
        elif kind == "checkpoint":
            wait(child, lambda: len(list(Path(out).glob("checkpoints/.*.tmp"))) > 0)
        elif kind == "any":
            newest = before[-1:]
            for _ in range(steps):
                wait(child, lambda: checkpoints(out)[-1:] != newest)
                newest = checkpoints(out)[-1:]
            time.sleep(choose.random() * 0.03)
        else:
            time.sleep(0.1 + choose.random() * 0.2)
        if alive(child):
            os.kill(child, signal.SIGKILL)
        status = ended(child)
        if status == 0:
            break
        assert status == -signal.SIGKILL, (kind, status, open(f"{out}.said").read())
        killed += 1
        where[kind] = where.get(kind, 0) + 1
        there = checkpoints(out)
        spoiled = len(there) > 1 and choose.random() < 0.4
        if spoiled:
            content = bytearray(there[-1].read_bytes())
            content[choose.randrange(len(content))] ^= 1 << choose.randrange(8)
            there[-1].write_bytes(content[: choose.choice([len(content), len(content) // 2])])
            where["damaged"] = where.get("damaged", 0) + 1
print(json.dumps({"rounds": rounds, "killed": killed} | where))
"""


def test_killed_runs_end_with_the_same_bytes(ground: Ground) -> None:
    wanted = os.environ.get("KILLS", "10")
    said = json.loads(fork(ground.folder, KILLS, wanted))
    assert said["killed"] >= int(wanted)
    for number in range(said["rounds"]):
        assert record(ground.folder / f"killed{number}") == ground.whole
    assert not list(ground.folder.glob("killed*/**/.*")), "something half written was left"


FULL = """
for limit in map(int, sys.argv[1].split(",")):
    out = f"full{limit}"
    code = ended(begin(out, limit))
    print(json.dumps([limit, code, open(f"{out}.said").read(), os.path.lexists(out)]))
    assert ended(begin(out)) == 0, open(f"{out}.said").read()
"""


def test_a_full_disk_is_one_line_and_resumes(ground: Ground) -> None:
    """RLIMIT_FSIZE stands in for a full disk: no file can be longer."""
    limits = (300, 700, 1_200, 3_000, 20_000)
    for line in fork(ground.folder, FULL, ",".join(map(str, limits))).splitlines():
        limit, code, said, began = json.loads(line)
        assert code == 1, said
        error = said.splitlines()[-1]
        assert error.startswith("lunar-offline: full") or ".unfinished/" in error
        assert "File too large" in error
        assert "Traceback" not in said
        assert began == (limit > 700)
        assert ("continue with: lunar-offline train --resume full" in error) == began
        assert record(ground.folder / f"full{limit}") == ground.whole


SIGNALS = """
for number in (signal.SIGINT, signal.SIGTERM):
    for moment in range(3):
        out = f"{number.name}-{moment}"
        child = begin(out)
        if moment == 2:
            wait(child, lambda: Path(out, "last.safetensors").exists())
        else:
            wait(child, lambda: len(checkpoints(out)) > 2 * moment)
            time.sleep(choose.random() * 0.05)
        os.kill(child, number)
        print(json.dumps([out, ended(child), open(f"{out}.said").read()]))
        assert ended(begin(out)) == 0, open(f"{out}.said").read()
"""


def test_a_signal_says_how_to_go_on(ground: Ground) -> None:
    lines = fork(ground.folder, SIGNALS).splitlines()
    assert len(lines) == 6
    for line in lines:
        out, code, said = json.loads(line)
        assert code == (130 if out.startswith("SIGINT") else 143), said
        assert said.count(f"continue with: lunar-offline train --resume {out}") == 1
        assert "Traceback" not in said
        assert record(ground.folder / out) == ground.whole

"""Training runs that are killed, stopped by a signal or out of disk, over and over."""

import json
import os
import random
import shutil
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

from crash_commands import WHOLE, Command, report

import lunar_offline.process_pool
from lunar_offline.collection.collect import collect_dataset
from lunar_offline.evaluation import evaluate as judge
from lunar_offline.training import loop
from lunar_offline.training import start_or_resume as start

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
TRAIN = ("train", "--config", "small.toml", "--dataset", "lunar-random-v0")
RESULTS = ("policy.safetensors", "last.safetensors", "evaluation.json")


def checkpoints(out: str) -> list[Path]:
    folder = Path(out) / "checkpoints"
    return sorted(p for p in folder.iterdir() if p.name[0] != ".") if folder.is_dir() else []


def result(run: str) -> dict[str, Any]:
    """Return all of a run that must come out the same."""
    lines = [json.loads(line) for line in Path(run, "metrics.jsonl").read_text().splitlines()]
    found: dict[str, Any] = {name: Path(run, name).read_bytes() for name in RESULTS}
    found["metrics"] = [{k: v for k, v in x.items() if k != "updates_per_s"} for x in lines]
    return found | {"checkpoint": checkpoints(run)[-1].name}


class Run:
    """A small training run, which goes on where it stopped, and what must come of it."""

    def __init__(self, out: str) -> None:
        self.out = out

    def begin(self, **options: Any) -> Command:
        again = os.path.lexists(self.out)
        arguments = ("train", "--resume", self.out) if again else (*TRAIN, "--out", self.out)
        return Command(*arguments, **options)

    def trained(self) -> bool:
        """Return whether only the evaluation is left."""
        return Path(self.out, "last.safetensors").exists()

    def complete(self) -> bool:
        """Return whether it has the bytes of the run that nothing disturbed, and remove it."""
        same = result(self.out) == result(str(WHOLE))
        assert not list(Path(self.out).glob("**/.*")), "something half written was left"
        shutil.rmtree(self.out)
        return same


def prepare() -> None:
    """Make config, dataset and the run that nothing disturbs, and let checkpoints come often."""
    Path("small.toml").write_text(CONFIG)
    lunar_offline.process_pool.usable_cores = lambda: 1
    # half of so short a run's time
    start.training_figure = judge.evaluation_figure = lambda *_, **__: None
    # a checkpoint always comes between two lines of the log, with sums that are under way
    loop.CHECKPOINT_EVERY, loop.LOG_EVERY, loop.ACCUMULATE_EVERY = 10, 16, 2
    if not WHOLE.exists():
        collect_dataset("lunar-random-v0", policy="random", discrete=True, episodes=12)
        Run(str(WHOLE)).begin().succeeds()


def spoil(path: Path, choose: random.Random) -> None:
    """Flip a bit of a file, and maybe lose its second half."""
    content = bytearray(path.read_bytes())
    content[choose.randrange(len(content))] ^= 1 << choose.randrange(8)
    path.write_bytes(content[: choose.choice([len(content), len(content) // 2])])


def kill_trainings(kills: int, number: int = 0) -> None:
    """Kill training runs until there were as many kills, and damage their checkpoints."""
    prepare()
    while kills > 0:
        choose, counts, run = random.Random(number), Counter(), Run(f"run{number}")
        spoiled = damaged = 0
        while True:
            command, before = run.begin(), checkpoints(run.out)[-1:]
            if spoiled:
                command.wait(lambda c=command: "from the previous checkpoint" in c.output())
                assert "from the previous checkpoint" in command.output()
            if run.trained():
                if choose.random() < 0.5:
                    command.succeeds()
                    break
                kind = "evaluation"
                time.sleep(0.1 + choose.random() * 0.2)
            else:
                kind = choose.choice(["checkpoint", "any", "any", "start"])
            if kind == "start":
                time.sleep(choose.random() * 0.1)
            elif kind == "checkpoint":
                command.wait(lambda r=run: list(Path(r.out).glob("checkpoints/.*.tmp")))
            elif kind == "any":
                for _ in range(choose.randrange(1, 4)):
                    command.wait(lambda r=run, b=before: checkpoints(r.out)[-1:] != b)
                    before = checkpoints(run.out)[-1:]
                time.sleep(choose.random() * 0.03)
            if not command.killed():
                break
            counts[kind] += 1
            saved = checkpoints(run.out)
            spoiled = len(saved) > 1 and choose.random() < 0.4
            if spoiled:
                spoil(saved[-1], choose)
                damaged += 1
        same = run.complete()
        kills, number = kills - counts.total(), number + 1
        report({"kills": counts, "damaged": damaged, "identical": int(same), "next": number})


def fill_disk_of_training(*limits: str) -> None:
    """Train where no file may be longer than a limit, and go on where all may."""
    prepare()
    for limit in map(int, limits):
        run = Run(f"full{limit}")
        command = run.begin(limit=limit)
        report([limit, command.ended(), command.output(), os.path.lexists(run.out)])
        run.begin().succeeds()
        assert run.complete()


def signal_training() -> None:
    """Stop a run by signals: soon, later, and in its evaluation."""
    prepare()
    choose = random.Random(0)
    for number in (signal.SIGINT, signal.SIGTERM):
        for moment in range(3):
            run = Run(f"{number.name}-{moment}")
            command = run.begin()
            if moment == 2:
                command.wait(run.trained)
            else:
                command.wait(lambda r=run, m=moment: len(checkpoints(r.out)) > 2 * m)
                time.sleep(choose.random() * 0.05)
            command.send(number)
            report([run.out, command.ended(), command.output()])
            run.begin().succeeds()
            assert run.complete()

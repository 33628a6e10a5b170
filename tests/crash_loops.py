"""Commands that are killed, stopped by a signal or out of disk, over and over.

    python tests/crash_loops.py kill_collections 20    # in an empty folder

`rounds` runs this script, so that it is a process of its own that has imported everything and has
no thread: every command is a fork of it, which costs nothing to start and is the real code. It
prints JSON, a line a round. Tests ask for few rounds, benchmarks/kills.py for many.
"""

import gc
import hashlib
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

# ruff: noqa: F401  (what commands import when they run)
import rich.progress
import tensorboard.compat.proto.event_pb2
import tensorboard.summary.writer.record_writer
from lunar_offline_cli.app import main

import lunar_offline.data.workers
from lunar_offline.data import publish, reader, sandbox
from lunar_offline.data.episode_file import EpisodeFile
from lunar_offline.data.ids import FOLDER
from lunar_offline.data.journal import Journal
from lunar_offline.experiment import collection, dataset_page, launch, train

DATASETS = Path("datasets")
WHOLE = Path("whole")  # where nothing is disturbed
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


def rounds(folder: Path, loop: str, *arguments: object) -> Iterator[Any]:
    """Run a loop in a folder of its own and yield what each of its rounds tells.

    Raises:
        AssertionError: something was not as it must be.
    """
    script, errors = [sys.executable, __file__, loop, *map(str, arguments)], folder / "errors"
    with (
        errors.open("w") as stderr,
        subprocess.Popen(
            script, cwd=folder, stdout=subprocess.PIPE, stderr=stderr, text=True
        ) as process,
    ):
        assert process.stdout
        try:
            for line in process.stdout:
                yield json.loads(line)
        except BaseException:
            process.kill()
            raise
    assert process.returncode == 0, errors.read_text()


def tell(about: Any) -> None:
    # at once: a fork would have what waits to be written, and write it too
    print(json.dumps(about), flush=True)


class Command:
    """A command of the command line, in a fork.

    Args:
        arguments: its words.
        limit: bytes that no file may be longer than, which stands in for a full disk.
        before: called in the fork first.
    """

    def __init__(
        self, *arguments: str, limit: int | None = None, before: Callable[[], object] = int
    ) -> None:
        self._output = Path("said")
        with self._output.open("w+") as output:
            self._pid = os.fork()
            if self._pid:
                return
            for descriptor in (1, 2):
                os.dup2(output.fileno(), descriptor)
        sys.argv = ["lunar-offline", *arguments]
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        try:
            before()
            main()
        except SystemExit as stop:  # as Python ends with it, less a second of tidying up
            code = int(stop.code or 0)
        except BaseException:
            traceback.print_exc()
            code = 70
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)

    def alive(self) -> bool:
        return os.waitid(os.P_PID, self._pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None

    def ended(self) -> int:
        """Wait for the end; return the exit status, or a signal's number below zero."""
        return os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])

    def stopped(self) -> None:
        """Wait until it has stopped itself."""
        os.waitid(os.P_PID, self._pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def send(self, number: int) -> None:
        os.kill(self._pid, number)  # not waited for yet, so the number is nobody else's

    def killed(self) -> bool:
        """Kill it; say whether that came before its end, which must be a good one."""
        self.send(signal.SIGKILL)
        status = self.ended()
        assert status in (0, -signal.SIGKILL), (status, self.said())
        return status != 0

    def wait(self, until: Callable[[], object]) -> None:
        while self.alive() and not until():
            time.sleep(0.001)

    def said(self) -> str:
        return self._output.read_text()

    def succeeds(self) -> None:
        status = self.ended()
        assert status == 0, (status, self.said())


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _elsewhere() -> None:
    os.environ["MINARI_DATASETS_PATH"] = str(WHOLE.absolute())


class Collection:
    """A small collection, and what it gives when nothing disturbs it; the number is its seed."""

    def __init__(self, number: int, episodes: int) -> None:
        self.id, self.episodes = f"lunar-random-v{number}", episodes
        actions = ("--discrete", "--continuous")[number % 2]
        self.arguments = ["collect", "--policy", "random", "--dataset", self.id, actions]
        self.arguments += ["--seed", str(number), "--episodes", str(episodes)]
        self.folder, self.journal = DATASETS / self.id, DATASETS / FOLDER / self.id
        if not (WHOLE / self.id).exists():
            Command(*self.arguments, before=_elsewhere).succeeds()
        self.whole = digests(WHOLE / self.id)

    def begin(self, **options: Any) -> Command:
        return Command(*self.arguments, **options)

    def recorded(self) -> set[str]:
        try:
            there = [path.name for path in (self.journal / "episodes").iterdir()]
        except FileNotFoundError:
            return set()
        return {name for name in there if not name.startswith(".")}

    def published(self) -> bool:
        """Say whether it stands; if so, whole."""
        if not self.folder.exists():
            return False
        assert digests(self.folder) == self.whole, "another dataset, or half of one"
        return True

    def wait(self, command: Command, kind: str, landed: int, choose: random.Random) -> None:
        """Wait for a moment of some kind, or as many episodes."""
        if kind == "start":
            time.sleep(choose.random() * 0.1)
        elif kind == "any":
            command.wait(lambda: len(self.recorded()) >= min(landed, self.episodes))
            time.sleep(choose.random() * 0.02)
        elif kind == "episode":
            command.wait(lambda: list(self.journal.glob("episodes/.*.tmp")))
        elif kind == "publish":
            command.wait((self.journal / "staging").exists)
            time.sleep(choose.random() * 0.2)
        else:
            command.wait(self.folder.exists)

    def complete(self) -> bool:
        """Let it go on to its end, say whether the dataset has its bytes, and remove it."""
        self.begin().succeeds()
        same = digests(self.folder) == self.whole
        assert not self.journal.exists(), "a journal was left"
        shutil.rmtree(DATASETS)
        return same


def kill_collections(kills: int, number: int = 0, episodes: int = 60) -> None:
    """Kill collections until there were as many kills: several a dataset, its publication too."""
    while kills > 0:
        choose, counts, collected = random.Random(number), Counter(), Collection(number, episodes)
        kept: set[str] = set()
        lost = 0
        for _ in range(min(kills, choose.randrange(10, 16))):
            command = collected.begin()
            kind = choose.choice(["start", "any", "any", "any", "episode"])
            if len(kept) == episodes:
                kind = choose.choice(["publish", "publish", "publish", "published"])
            collected.wait(command, kind, len(kept) + 1 + choose.randrange(30), choose)
            if not command.killed():
                break
            counts[kind] += 1
            if collected.published():
                break
            lost += len(kept - collected.recorded())
            kept = collected.recorded()
        same = collected.complete()
        shutil.rmtree(WHOLE)  # there will be many
        kills, number = kills - counts.total(), number + 1
        tell({"kills": counts, "lost": lost, "identical": int(same), "next": number})


def _interrupted(number: int, where: Any, name: str, call: int = 1, after: bool = False) -> None:
    """Let a function send its own process a signal, before or after it does its work."""
    original, calls = getattr(where, name), 0

    def interrupting(*arguments: Any, **keywords: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == call and not after:
            os.kill(os.getpid(), number)
        result = original(*arguments, **keywords)
        if calls == call and after:
            os.kill(os.getpid(), number)
        return result

    setattr(where, name, interrupting)


PUBLICATION: list[tuple[Any, str]] = [
    (publish, "_write"),
    (EpisodeFile, "content"),
    (publish, "file_sha256"),
    (publish, "write_atomic"),
    (publish, "write_manifest"),
    (publish, "sync_tree"),
    (Path, "rename"),
    (publish, "sync_directory"),
    (Journal, "discard"),
]


def kill_publications() -> None:
    """Kill before and after each step of a publication: old or new, never half."""
    collected = Collection(0, 5)
    renamed = PUBLICATION.index((Path, "rename"))
    for index, (where, name) in enumerate(PUBLICATION):
        for after in (False, True):
            hook = partial(_interrupted, signal.SIGKILL, where, name, after=after)
            command, step = collected.begin(before=hook), f"{'after' if after else 'before'} {name}"
            assert command.ended() == -signal.SIGKILL, step
            assert collected.published() == (index + after > renamed), step
            if collected.published():
                collected.begin().succeeds()
                assert not collected.journal.exists(), "a journal was left"
                shutil.rmtree(collected.folder)
            tell(step)
    assert collected.complete()


PACK, SHOW = ("dataset", "pack"), ("dataset", "show", "--html", "page.html")
EXPORTS: list[tuple[tuple[str, ...], Any, str]] = [
    (PACK, sandbox, "convert"),
    (PACK, reader, "_put"),
    (PACK, reader, "sync_directory"),
    (SHOW, dataset_page, "write_atomic"),
    (SHOW, os, "fsync"),
    (SHOW, os, "replace"),
]


def kill_exports() -> None:
    """Kill before and after each step of writing a cache and a page: whole or absent."""
    collected, page, cache = Collection(0, 5), Path("page.html"), DATASETS / FOLDER / "cache"
    collected.begin().succeeds()
    made: dict[tuple[str, ...], dict[str, str]] = {}
    for disturbed in (False, True):
        for words, where, name in EXPORTS:
            for after in (False, True):
                page.unlink(missing_ok=True)
                if words == PACK:
                    shutil.rmtree(cache, ignore_errors=True)
                command = [*words, collected.id]
                if disturbed:
                    hook = partial(_interrupted, signal.SIGKILL, where, name, after=after)
                    killed = Command(*command, before=hook)
                    assert killed.ended() == -signal.SIGKILL, (name, after, killed.said())
                    assert _exported(page, cache).items() <= made[words].items(), (name, after)
                    tell([name, after])
                Command(*command).succeeds()
                assert made.setdefault(words, _exported(page, cache)) == _exported(page, cache)


def _exported(page: Path, cache: Path) -> dict[str, str]:
    paths = [path for path in (page, *cache.glob("*.flat")) if path.exists()]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def fill_disk_of_collection(*limits: str) -> None:
    """Collect where no file may be longer than a limit, and again where all may."""
    for limit in map(int, limits):
        collected = Collection(0, 20)
        command = collected.begin(limit=limit)
        tell([limit, command.ended(), command.said(), len(collected.recorded())])
        assert not collected.folder.exists()
        assert collected.complete()


def signal_collection() -> None:
    """Stop a collection by signals: after its first episode, later, and while it publishes."""
    moments = [(Journal, "append", 1), (Journal, "append", 12), (publish, "write_manifest", 1)]
    for number in (signal.SIGINT, signal.SIGTERM):
        for where, name, call in moments:
            collected = Collection(0, 20)
            hook = partial(_interrupted, number, where, name, call, after=True)
            command = collected.begin(before=hook)
            landed = call if where is Journal else collected.episodes
            tell([number, landed, command.ended(), command.said(), len(collected.recorded())])
            assert not collected.folder.exists()
            assert collected.complete()


def second_writers() -> None:
    """Start a second collection of an id while the first one is anywhere in its work."""
    moments = [(Journal, "append", call) for call in (1, 2, 10, 20)]
    for where, name, call in [*moments, (publish, "write_manifest", 1)]:
        collected = Collection(0, 20)
        hook = partial(_interrupted, signal.SIGSTOP, where, name, call)
        first = collected.begin(before=hook)
        first.stopped()
        second = collected.begin()
        tell([second.ended(), second.said()])
        first.send(signal.SIGCONT)
        first.succeeds()
        assert collected.complete()


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

    def flown(self) -> bool:
        """Say whether only the evaluation is left."""
        return Path(self.out, "last.safetensors").exists()

    def complete(self) -> bool:
        """Say whether it has the bytes of the run that nothing disturbed, and remove it."""
        same = result(self.out) == result(str(WHOLE))
        assert not list(Path(self.out).glob("**/.*")), "something half written was left"
        shutil.rmtree(self.out)
        return same


def ground() -> None:
    """Make config, dataset and the run that nothing disturbs, and let checkpoints come often."""
    Path("small.toml").write_text(CONFIG)
    lunar_offline.data.workers.usable_cores = lambda: 1
    for name in ("training_figure", "evaluation_figure"):  # half of so short a run's time
        setattr(launch, name, lambda *_, **__: None)
    # a checkpoint always comes between two lines of the log, with sums that are under way
    train.CHECKPOINT_EVERY, train.LOG_EVERY, train.ACCUMULATE_EVERY = 10, 16, 2
    if not WHOLE.exists():
        collection.collect_dataset("lunar-random-v0", policy="random", discrete=True, episodes=12)
        Run(str(WHOLE)).begin().succeeds()


def spoil(path: Path, choose: random.Random) -> None:
    """Flip a bit of a file, and maybe lose its second half."""
    content = bytearray(path.read_bytes())
    content[choose.randrange(len(content))] ^= 1 << choose.randrange(8)
    path.write_bytes(content[: choose.choice([len(content), len(content) // 2])])


def kill_trainings(kills: int, number: int = 0) -> None:
    """Kill training runs until there were as many kills, and damage their checkpoints."""
    ground()
    while kills > 0:
        choose, counts, run = random.Random(number), Counter(), Run(f"run{number}")
        spoiled = damaged = 0
        while True:
            command, before = run.begin(), checkpoints(run.out)[-1:]
            if spoiled:
                command.wait(lambda c=command: "from the checkpoint before" in c.said())
                assert "from the checkpoint before" in command.said()
            if run.flown():
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
            there = checkpoints(run.out)
            spoiled = len(there) > 1 and choose.random() < 0.4
            if spoiled:
                spoil(there[-1], choose)
                damaged += 1
        same = run.complete()
        kills, number = kills - counts.total(), number + 1
        told = {"kills": counts, "damaged": damaged, "identical": int(same), "next": number}
        tell(told)


def fill_disk_of_training(*limits: str) -> None:
    """Train where no file may be longer than a limit, and go on where all may."""
    ground()
    for limit in map(int, limits):
        run = Run(f"full{limit}")
        command = run.begin(limit=limit)
        tell([limit, command.ended(), command.said(), os.path.lexists(run.out)])
        run.begin().succeeds()
        assert run.complete()


def signal_training() -> None:
    """Stop a run by signals: soon, later, and in its evaluation."""
    ground()
    choose = random.Random(0)
    for number in (signal.SIGINT, signal.SIGTERM):
        for moment in range(3):
            run = Run(f"{number.name}-{moment}")
            command = run.begin()
            if moment == 2:
                command.wait(run.flown)
            else:
                command.wait(lambda r=run, m=moment: len(checkpoints(r.out)) > 2 * m)
                time.sleep(choose.random() * 0.05)
            command.send(number)
            tell([run.out, command.ended(), command.said()])
            run.begin().succeeds()
            assert run.complete()


LOOPS: dict[str, Callable[..., None]] = {
    "kill_collections": lambda kills, *first: kill_collections(int(kills), *map(int, first)),
    "kill_publications": kill_publications,
    "kill_exports": kill_exports,
    "fill_disk_of_collection": fill_disk_of_collection,
    "signal_collection": signal_collection,
    "second_writers": second_writers,
    "kill_trainings": lambda kills, *first: kill_trainings(int(kills), *map(int, first)),
    "fill_disk_of_training": fill_disk_of_training,
    "signal_training": signal_training,
}

if __name__ == "__main__":
    os.environ["MINARI_DATASETS_PATH"] = str(DATASETS.absolute())
    # a shell's background job ignores Ctrl-C, and so would what it starts
    signal.signal(signal.SIGINT, signal.default_int_handler)
    gc.freeze()
    LOOPS[sys.argv[1]](*sys.argv[2:])

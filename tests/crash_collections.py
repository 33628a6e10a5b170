"""Collections that are killed, stopped by a signal or out of disk, over and over."""

import hashlib
import os
import random
import shutil
import signal
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

from crash_commands import DATASETS, WHOLE, Command, interrupt, report

from lunar_offline.datasets import make_cache, publish
from lunar_offline.datasets.episode_file import EpisodeFile
from lunar_offline.datasets.journal import Journal
from lunar_offline.datasets.page import page as dataset_page
from lunar_offline.datasets.readers import sandbox
from lunar_offline.storage.datasets_root import FOLDER


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
        """Return whether it is published; if so, check that all of it is."""
        if not self.folder.exists():
            return False
        assert digests(self.folder) == self.whole, "another dataset, or half of one"
        return True

    def wait(self, command: Command, kind: str, count: int, choose: random.Random) -> None:
        """Wait for a moment of some kind, or for so many episodes."""
        if kind == "start":
            time.sleep(choose.random() * 0.1)
        elif kind == "any":
            command.wait(lambda: len(self.recorded()) >= min(count, self.episodes))
            time.sleep(choose.random() * 0.02)
        elif kind == "episode":
            command.wait(lambda: list(self.journal.glob("episodes/.*.tmp")))
        elif kind == "publish":
            command.wait((self.journal / "staging").exists)
            time.sleep(choose.random() * 0.2)
        else:
            command.wait(self.folder.exists)

    def complete(self) -> bool:
        """Let it run to its end; return whether the dataset has its bytes, and remove it."""
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
        report({"kills": counts, "lost": lost, "identical": int(same), "next": number})


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
            hook = partial(interrupt, signal.SIGKILL, where, name, after=after)
            command, step = collected.begin(before=hook), f"{'after' if after else 'before'} {name}"
            assert command.ended() == -signal.SIGKILL, step
            assert collected.published() == (index + after > renamed), step
            if collected.published():
                collected.begin().succeeds()
                assert not collected.journal.exists(), "a journal was left"
                shutil.rmtree(collected.folder)
            report(step)
    assert collected.complete()


PACK, SHOW = ("dataset", "pack"), ("dataset", "show", "--html", "page.html")
EXPORTS: list[tuple[tuple[str, ...], Any, str]] = [
    (PACK, sandbox, "convert"),
    (PACK, make_cache, "_put"),
    (PACK, make_cache, "sync_directory"),
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
                    hook = partial(interrupt, signal.SIGKILL, where, name, after=after)
                    killed = Command(*command, before=hook)
                    assert killed.ended() == -signal.SIGKILL, (name, after, killed.output())
                    assert _exported(page, cache).items() <= made[words].items(), (name, after)
                    report([name, after])
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
        report([limit, command.ended(), command.output(), len(collected.recorded())])
        assert not collected.folder.exists()
        assert collected.complete()


def signal_collection() -> None:
    """Stop a collection by signals: after its first episode, later, and while it publishes."""
    moments = [(Journal, "append", 1), (Journal, "append", 12), (publish, "write_manifest", 1)]
    for number in (signal.SIGINT, signal.SIGTERM):
        for where, name, call in moments:
            collected = Collection(0, 20)
            hook = partial(interrupt, number, where, name, call, after=True)
            command = collected.begin(before=hook)
            recorded = call if where is Journal else collected.episodes
            report([number, recorded, command.ended(), command.output(), len(collected.recorded())])
            assert not collected.folder.exists()
            assert collected.complete()


def second_writers() -> None:
    """Start a second collection of an id while the first one is anywhere in its work."""
    moments = [(Journal, "append", call) for call in (1, 2, 10, 20)]
    for where, name, call in [*moments, (publish, "write_manifest", 1)]:
        collected = Collection(0, 20)
        hook = partial(interrupt, signal.SIGSTOP, where, name, call)
        first = collected.begin(before=hook)
        first.stopped()
        second = collected.begin()
        report([second.ended(), second.output()])
        first.send(signal.SIGCONT)
        first.succeeds()
        assert collected.complete()

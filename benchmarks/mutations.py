"""Damages a small dataset again and again, reads it, and counts what came of it.

    python benchmarks/mutations.py 50000 1500     # with and without a manifest

With a manifest every read must be refused or give the very data; without one, the checks of shapes,
types and values let some damage pass, which is counted as `other data`. Mutation i of a seed is
always the same.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from pairing import compact_json

from lunar_offline.datasets.dataset import Dataset, read_dataset
from lunar_offline.datasets.readers import sandbox
from lunar_offline.datasets.readers.request import Request
from lunar_offline.errors import RefusedError
from lunar_offline.storage.datasets_root import datasets_root

RESULT = Path(__file__).parents[1] / "docs" / "results" / "mutations.json"
DATASET = "mutated-v0"
MOST_BYTES = 64
PATIENCE = 60.0
CHILD_DIED = "crashed the process that read it"

# Share of each file in the mutations, with a manifest and without.
GUARDED = {"main_data.hdf5": 0.4, "metadata.json": 0.2, "manifest.json": 0.2, "flat cache": 0.2}
UNGUARDED = {"main_data.hdf5": 0.8, "metadata.json": 0.2}

# Reads each request in a fork of a process that has imported the reader: starting costs nothing.
READERS = """
import io, json, os, signal, sys
from lunar_offline.datasets.readers import conversion, hdf5
for line in sys.stdin:
    ours, theirs = os.pipe()
    child = os.fork()
    if not child:
        signal.alarm(60)
        os.dup2(theirs, 1)
        sys.stdin = io.StringIO(line)
        try:
            conversion.main()
            sys.stdout.flush()
        finally:
            os._exit(sys.exc_info()[0] is not None)
    os.close(theirs)
    answer = b"".join(iter(lambda: os.read(ours, 1 << 16), b""))
    os.close(ours)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(json.dumps([status, answer.decode()]), flush=True)
"""

Draw = np.random.Generator
Counts = Counter[tuple[str, str, str]]  # file, kind, outcome


def _flip(content: bytearray, at: int, size: int, draw: Draw) -> None:
    content[at] ^= 1 << int(draw.integers(8))


def _zero(content: bytearray, at: int, size: int, draw: Draw) -> None:
    content[at : at + size] = bytes(len(content[at : at + size]))


def _overwrite(content: bytearray, at: int, size: int, draw: Draw) -> None:
    content[at : at + size] = draw.bytes(len(content[at : at + size]))


def _insert(content: bytearray, at: int, size: int, draw: Draw) -> None:
    content[at:at] = draw.bytes(size)


def _delete(content: bytearray, at: int, size: int, draw: Draw) -> None:
    del content[at : at + size]


def _truncate(content: bytearray, at: int, size: int, draw: Draw) -> None:
    del content[at:]


def _duplicate(content: bytearray, at: int, size: int, draw: Draw) -> None:
    start = int(draw.integers(len(content)))
    content[at:at] = content[start : start + size]


KINDS: dict[str, Callable[[bytearray, int, int, Draw], None]] = {
    "flip a bit": _flip,
    "zero bytes": _zero,
    "overwrite bytes": _overwrite,
    "insert bytes": _insert,
    "delete bytes": _delete,
    "truncate": _truncate,
    "duplicate bytes": _duplicate,
}


def mutate(content: bytes, draw: Draw) -> tuple[str, bytes]:
    """Return the kind of a mutation and what it made, which is never what was there."""
    while True:
        kind = str(draw.choice(list(KINDS)))
        changed = bytearray(content)
        size = int(draw.integers(1, MOST_BYTES + 1))
        KINDS[kind](changed, int(draw.integers(len(content))), size, draw)
        if changed != content:
            return kind, bytes(changed)


@contextmanager
def _no_longer_than(seconds: float) -> Iterator[None]:
    def stop(*_: Any) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def _readers() -> Iterator[None]:
    """Let the sandbox's child processes be forks of one."""
    answer = sandbox._answer
    with subprocess.Popen(
        [sys.executable, "-P", "-c", READERS],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as readers:

        def ask(request: Request) -> tuple[int, str]:
            assert readers.stdin
            assert readers.stdout
            print(json.dumps(request._asdict()), file=readers.stdin, flush=True)
            returncode, text = json.loads(readers.stdout.readline())
            return returncode, text

        sandbox._answer = ask
        try:
            yield
        finally:
            sandbox._answer = answer


def _content(dataset: Dataset) -> tuple[Any, ...]:
    flat = dataset.flat
    arrays = tuple(a.tobytes() for a in (flat.records, flat.rewards, flat.ends, flat.seeds))
    return dataset.sha256, dataset.metadata, arrays


def _outcome(expected: tuple[Any, ...], *, guarded: bool) -> str:
    """Read the dataset and name what came of it."""
    try:
        with _no_longer_than(PATIENCE):
            found = _content(read_dataset(DATASET))
    except RefusedError as error:
        if not str(error).isprintable():
            return "refused in more than a line"
        return "refused: reader ended" if CHILD_DIED in str(error) else "refused"
    except TimeoutError:
        return "hang"
    except Exception as error:
        return f"escaped: {type(error).__name__}"
    # without a manifest, other bytes or another description may come with the same transitions
    same = found == expected if guarded else found[2] == expected[2]
    return "same data" if same else "other data"


def run(folder: Path, mutations: int, *, guarded: bool, seed: int = 0) -> Counts:
    """Mutate the files of a dataset, one at a time, and read it.

    Args:
        folder: of DATASET in Minari's root, whole; it is whole again afterwards.
        mutations: how many.
        guarded: with its manifest. The child process is stood in for by a copy of its work then,
            which is only to be done where the flat cache is damaged, and takes most of the time.
        seed: of the mutations.
    """
    good = read_dataset(DATASET)
    expected, cache = _content(good), good.cache
    made, convert = cache.read_bytes(), sandbox.convert

    def stand_in(request: Request) -> None:
        Path(request.out).write_bytes(made)

    manifest = folder / "manifest.json"
    original = manifest.read_bytes()
    paths = {name: folder / "data" / name for name in UNGUARDED}
    paths |= {"manifest.json": manifest, "flat cache": cache}
    shares = GUARDED if guarded else UNGUARDED
    counts: Counts = Counter()
    try:
        if guarded:
            sandbox.convert = stand_in
        else:
            manifest.unlink()
        with nullcontext() if guarded else _readers():
            for index in range(mutations):
                draw = np.random.default_rng([seed, guarded, index])
                name = str(draw.choice(list(shares), p=list(shares.values())))
                whole = paths[name].read_bytes()
                kind, damaged = mutate(whole, draw)
                paths[name].write_bytes(damaged)
                counts[name, kind, _outcome(expected, guarded=guarded)] += 1
                paths[name].write_bytes(whole)
                for other in set(cache.parent.iterdir()) - {cache}:
                    other.unlink()  # of data that were read as something else
    finally:
        sandbox.convert = convert
        manifest.write_bytes(original)
    return counts


def _as_json(counts: Counts) -> dict[str, dict[str, dict[str, int]]]:
    found: dict[str, dict[str, dict[str, int]]] = {}
    for (name, kind, outcome), count in sorted(counts.items()):
        found.setdefault(name, {}).setdefault(kind, {})[outcome] = count
    return found


def outcomes(counts: Counts) -> dict[str, int]:
    """Add up what came of all mutations."""
    found: Counter[str] = Counter()
    for (_, _, outcome), count in counts.items():
        found[outcome] += count
    return dict(sorted(found.items()))


def main() -> None:
    """Make a dataset, mutate it, and write the counts."""
    parser = argparse.ArgumentParser(description="Damage a dataset, read it, count the outcomes.")
    parser.add_argument("guarded", type=int, help="mutations with a manifest")
    parser.add_argument("unguarded", type=int, help="mutations without one, in child processes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    from lunar_offline.collection.collect import collect_dataset
    from lunar_offline.storage.provenance import provenance

    root = Path(tempfile.mkdtemp(prefix="mutations-"))
    os.environ["MINARI_DATASETS_PATH"] = str(root)
    started = time.monotonic()
    result: dict[str, Any] = {
        "command": " ".join(["python", "benchmarks/mutations.py", *sys.argv[1:]]),
        "versions": provenance()["versions"],
    }
    try:
        collect_dataset(DATASET, policy="random", discrete=True, episodes=3)
        for name, mutations in (("with", options.guarded), ("without", options.unguarded)):
            counts = run(
                datasets_root() / DATASET, mutations, guarded=name == "with", seed=options.seed
            )
            print(f"{name} a manifest: {outcomes(counts)}", flush=True)
            result[f"{name}_manifest"] = {
                "mutations": mutations,
                "outcomes": outcomes(counts),
                "by_file_and_kind": _as_json(counts),
            }
    finally:
        shutil.rmtree(root)
    result["minutes"] = round((time.monotonic() - started) / 60, 1)
    options.out.write_text(compact_json(result))


if __name__ == "__main__":
    main()

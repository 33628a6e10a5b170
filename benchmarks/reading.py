"""Reading datasets: the strict first read against Minari's, and the cache from 0.2 M rows to 20 M.

    python benchmarks/reading.py lunar-sac-v0

First read: this project reads, checks and converts the dataset; Minari loads it and iterates over
its episodes. Both read the same file, alternated, each from the start of Python. The cache is then
measured at growing sizes, each in a fresh process: opening it, drawing batches of 256 at rho 0.6,
and the memory that this took (its own, and pages of the file that the kernel may drop at any time).
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pairing import spread, write

from lunar_offline.datasets.cache import FlatWriter, open_flat
from lunar_offline.envs.registry import find_env
from lunar_offline.seeding import Purpose, Stream
from lunar_offline.storage.datasets_root import FOLDER, datasets_root
from lunar_offline.training.mixed_sampler import MixedSampler
from lunar_offline.training.replay_buffer import ReplayBuffer
from lunar_offline.transitions import Transitions

SIZES = (200_000, 2_000_000, 20_000_000)
EPISODE = 250
ONLINE_ROWS = 50_000
BATCHES = 20_000
PAIRS = 9


OURS = """
from lunar_offline.datasets.dataset import read_dataset
assert len(read_dataset(name).transitions)
"""
MINARI = """
import minari
assert sum(len(episode.rewards) for episode in minari.load_dataset(name).iterate_episodes())
"""


def first_reads(dataset_id: str) -> dict[str, float]:
    """Return the ratio of Minari's time to ours over the same file, each in a fresh process."""
    times: dict[str, list[float]] = {OURS: [], MINARI: []}
    for pair in range(PAIRS + 1):
        for script in (OURS, MINARI) if pair % 2 else (MINARI, OURS):
            shutil.rmtree(datasets_root() / FOLDER / "cache", ignore_errors=True)
            before = time.perf_counter()
            command = [sys.executable, "-c", f"name = {dataset_id!r}\n{script}"]
            subprocess.run(command, check=True)
            times[script].append(time.perf_counter() - before)
    ours, peer = (times[script][1:] for script in (OURS, MINARI))  # the first read a cold file
    return spread(peer, ours) | {"ours_s": round(float(np.median(ours)), 3)}


def make(path: Path, rows: int) -> None:
    """Write a cache of `rows` random transitions."""
    dtype, rng = find_env(discrete=True).transition_dtype(), np.random.default_rng(0)
    with path.open("wb+") as file:
        writer = FlatWriter(file, dtype, rows)
        for _ in range(rows // EPISODE):
            records: NDArray[Any] = np.zeros(EPISODE, dtype)
            records["observations"] = rng.normal(size=(EPISODE, 8))
            records["actions"] = rng.integers(4, size=EPISODE)
            records["terminations"][-1] = True
            writer.add(records, records["rewards"].astype(np.float64), 0)
        writer.finish("benchmark")


def measure(path: Path) -> dict[str, float]:
    """Open a cache, draw from it, and return times and memory."""
    dtype = find_env(discrete=True).transition_dtype()
    flat, times = open_flat(path, "benchmark", dtype, check=False), []
    for _ in range(50):
        before = time.perf_counter()
        flat = open_flat(path, "benchmark", dtype, check=False)
        times.append(time.perf_counter() - before)
    replay = ReplayBuffer(ONLINE_ROWS, dtype)
    replay.restore(np.zeros(ONLINE_ROWS, dtype), np.zeros(ONLINE_ROWS, bool), 0)
    sampler = MixedSampler(((Transitions(flat.records), 154), (replay, 102)), dtype)
    np.add.reduce(flat.records["rewards"])  # the file's pages, once, as a long run touches them all
    before_kib = _resident()
    rounds, draws = [], Stream(0, Purpose.BATCH)
    for index in range(20):
        before = time.perf_counter()
        for batch in range(BATCHES // 20):
            sampler.sample(draws.at(index * BATCHES + batch))
        rounds.append((time.perf_counter() - before) / (BATCHES // 20))
    after_kib = _resident()
    return {
        "rows": len(flat.records),
        "open_ms": round(1e3 * float(np.median(times)), 3),
        "batch_ms": round(1e3 * float(np.median(rounds)), 4),
        "own_memory_grown_mib": round((after_kib["RssAnon"] - before_kib["RssAnon"]) / 1024, 1),
        "own_memory_mib": round(after_kib["RssAnon"] / 1024, 1),
        "file_pages_mib": round(after_kib["RssFile"] / 1024, 1),
    }


def _resident() -> dict[str, int]:
    lines = Path("/proc/self/status").read_text().splitlines()
    return {line.split(":")[0]: int(line.split()[1]) for line in lines if line.startswith("Rss")}


def main() -> None:
    """Measure everything and write results/reading.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", nargs="?", default="lunar-sac-v0")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure)))
        return
    curve = []
    for rows in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "x.flat"
            make(path, rows)
            again = [sys.executable, __file__, "--measure", str(path)]
            shown = subprocess.run(again, capture_output=True, text=True, check=True)
            curve.append(json.loads(shown.stdout))
    write("reading", {"first_read": first_reads(options.dataset), "cache": curve})


if __name__ == "__main__":
    main()

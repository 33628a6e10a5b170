"""Seconds until `lunar-offline --help` has printed, and until `minari --help` has, in pairs."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pairing


def seconds(program: str) -> float:
    """Run `program --help` once."""
    start = time.perf_counter()
    command = [Path(sys.executable).with_name(program), "--help"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main(pairs: int = 15) -> None:
    """Write benchmarks/results/startup.json."""
    taken = [(seconds("lunar-offline"), seconds("minari")) for _ in range(pairs + 1)][1:]
    ours, minari = zip(*taken, strict=True)
    medians = {"seconds": float(np.median(ours)), "minari_seconds": float(np.median(minari))}
    pairing.write("startup", medians | pairing.spread(minari, ours))


main()

"""Seconds from a dataset id to 1000 evaluated episodes: python benchmarks/wall_clock.py [SEED...].

Runs `lunar-offline train` until a validation mean of 255, and its evaluation, seed after seed; the
interpreter's start and the reading of the data count, the making of the dataset does not.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pairing

COMMAND = ["train", "--dataset", "lunar-sac-v0", "--rho", "0.6", "--stop-return", "255"]


def main() -> None:
    """Print a line per seed and write benchmarks/results/wall-clock.json."""
    lunar_offline = Path(sys.executable).with_name("lunar-offline")
    runs = []
    for seed in [int(s) for s in sys.argv[1:]] or [0, 1, 2]:
        with tempfile.TemporaryDirectory() as folder:
            run = Path(folder) / "run"
            start = time.perf_counter()
            subprocess.run(
                [lunar_offline, *COMMAND, "--seed", str(seed), "--out", run],
                check=True,
                stdout=subprocess.DEVNULL,
            )
            seconds = time.perf_counter() - start
            evaluation = json.loads((run / "evaluation.json").read_text())["best"]
            lines = [json.loads(x) for x in (run / "metrics.jsonl").read_text().splitlines()]
        runs.append(
            {
                "seed": seed,
                "seconds": round(seconds, 1),
                "mean": round(evaluation["mean"], 1),
                "online_episodes": max(x.get("episode", 0) for x in lines),
            }
        )
        print(runs[-1], file=sys.stderr)
    seconds = float(np.median([run["seconds"] for run in runs]))
    result = {"command": " ".join(["lunar-offline", *COMMAND]), "runs": runs}
    pairing.write("wall-clock", result | {"median_seconds": seconds})


main()

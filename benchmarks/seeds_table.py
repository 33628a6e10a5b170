"""Runs of several seeds -> one Markdown table: python benchmarks/seeds_table.py RUN..."""

import json
import sys
from pathlib import Path

import numpy as np

from lunar_offline.experiment.run_dir import RunDir
from lunar_offline.experiment.stats import bootstrap


def row(path: Path) -> dict[str, float]:
    run = RunDir.open(path)
    best = json.loads((path / "evaluation.json").read_text())
    metrics = run.metrics()
    return {
        "seed": run.config().seed,
        "before": next(line["validation_mean"] for line in metrics if "validation_mean" in line),
        "best": best["mean"],
        "last": best["last"]["mean"],
        "iqm": best["iqm"],
        "window": best["min_window_100"],
        "crashes": 100 * best["crash_rate"],
        "fuel": best["fuel"],
        "frames": best["frames"],
        "regret": best["regret_to_bound"],
        "env_steps": max(line["env_step"] for line in metrics),
    }


HEADINGS = (
    "seed",
    "before online",
    "best",
    "last",
    "IQM",
    "lowest window",
    "crashes %",
    "fuel",
    "frames",
    "regret",
    "env steps",
)


def main() -> None:
    rows = [row(Path(argument)) for argument in sys.argv[1:]]
    print("| " + " | ".join(HEADINGS) + " |")
    print("|" + " ---: |" * len(HEADINGS))
    for r in rows:
        cells = [f"{r['seed']}", *(f"{r[k]:.1f}" for k in list(r)[1:-1]), f"{r['env_steps']:,}"]
        print("| " + " | ".join(cells) + " |")
    if len(rows) > 1:
        cells = [
            str(bootstrap(np.mean, np.array([r[k] for r in rows]))) for k in list(rows[0])[1:-1]
        ]
        print("| " + " | ".join(["mean", *cells, ""]) + " |")


main()

"""The runs of several seeds -> one Markdown table.

    python benchmarks/seeds_table.py docs/results/headline-discrete.json
    python benchmarks/seeds_table.py runs/discrete

Arguments are files of `compact.py`, run directories, or folders of those.
"""

import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from compact import summary

from lunar_offline.statistics import bootstrap
from lunar_offline.studies.compare import read_runs

HEADINGS = (
    "seed",
    "before online",
    "best",
    "last",
    "IQM",
    "worst 100-episode mean",
    "crashes %",
    "fuel",
    "frames",
    "regret",
    "env steps",
)


def read(path: Path) -> list[dict[str, Any]]:
    """Return the runs of a file of `compact.py`, or of run directories."""
    if path.suffix == ".json":
        return json.loads(path.read_text())["runs"]
    return [summary(run) for run in read_runs([path])]


def measures(run: dict[str, Any]) -> list[float]:
    """Return the numbers of a run's row, between its seed and its env steps."""
    best = run["best"]
    return [
        run["validations"][0][1],
        best["mean"],
        run["last"]["mean"],
        best["iqm"],
        best.get("min_window_100", math.nan),  # fewer than 100 episodes have none
        100 * best["crash_rate"],
        best["fuel"],
        best["frames"],
        best["regret_to_bound"],
    ]


def table(runs: Sequence[dict[str, Any]]) -> str:
    """Return a row per run and, of several, their means with 95% bootstrap intervals."""
    lines = [HEADINGS, ("---:",) * len(HEADINGS)]
    for run in runs:
        steps = f"{run['cost']['online_steps']:,}"
        lines.append((f"{run['seed']}", *(f"{value:.1f}" for value in measures(run)), steps))
    if len(runs) > 1:
        columns = np.array([measures(run) for run in runs]).T
        means = (
            bootstrap(np.mean, column) if np.isfinite(column).all() else "-" for column in columns
        )
        lines.append(("mean", *map(str, means), ""))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    given = [run for argument in sys.argv[1:] for run in read(Path(argument))]
    print(table(sorted(given, key=lambda run: run["seed"])))

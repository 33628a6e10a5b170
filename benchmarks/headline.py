"""The README's table of results, and the numbers beside it, from stored results.

    python benchmarks/headline.py

Reads docs/results/{headline,bc}-*.json, docs/results/controller.json and
datasets/policies/expert-*.json. A test compares the output with the README.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "results"
KINDS = ("discrete", "continuous")
HEADINGS = ("policy", "discrete", "crashes", "continuous", "crashes", "env steps")


def read(path: Path) -> Any:
    """Read a JSON file."""
    return json.loads(path.read_text())


def seeds(values: Sequence[float]) -> str:
    """Write the mean over seeds, and the lowest and the highest seed."""
    return f"{np.mean(values):.1f} ({min(values):.1f} to {max(values):.1f})"


def share(rates: Sequence[float]) -> str:
    """Write the mean of crash rates."""
    return f"{np.mean(rates):.2%}"


def mean_cost(runs: Sequence[dict[str, Any]], *names: str) -> int:
    """Return the mean over runs of the sum of some costs."""
    return round(float(np.mean([sum(run["cost"][name] for name in names) for run in runs])))


def cells(values: Sequence[float], rates: Sequence[float]) -> list[str]:
    """Return the cells of one action space."""
    return [seeds(values), share(rates)]


def table() -> list[list[str]]:
    """Return the rows of the table, without its headings."""
    expert = {kind: read(ROOT / f"datasets/policies/expert-{kind}.json") for kind in KINDS}
    cql = {kind: read(RESULTS / f"headline-{kind}.json")["runs"] for kind in KINDS}
    bc = {kind: read(RESULTS / f"bc-{kind}.json")["runs"] for kind in KINDS}
    controller = read(RESULTS / "controller.json")
    rows = [["the expert that recorded the data"], ["behavior cloning"]]
    rows += [["CQL-SAC before going online"], ["**CQL-SAC, `last`**"], ["CQL-SAC, `best`"]]
    for kind in KINDS:
        rows[0] += [f"{expert[kind]['mean']:.1f}", share([expert[kind]["crash_rate"]])]
        for row, runs, which in ((1, bc, "last"), (3, cql, "last"), (4, cql, "best")):
            found = [run[which] for run in runs[kind]]
            rows[row] += cells([f["mean"] for f in found], [f["crash_rate"] for f in found])
        rows[2] += [seeds([run["validations"][0][1] for run in cql[kind]]), ""]
    rows[3][1], rows[3][3] = f"**{rows[3][1]}**", f"**{rows[3][3]}**"
    online = [mean_cost(cql[kind], "online_steps") for kind in KINDS]
    chosen = [mean_cost(cql[kind], "online_steps", "validation_steps") for kind in KINDS]
    rows[0].append("")
    rows[1].append("0")
    rows[2].append("0")
    rows[3].append(" / ".join(f"{steps:,}" for steps in online))
    rows[4].append(" / ".join(f"{steps:,}" for steps in chosen))
    mean = f"{controller['mean']:.1f} ± {controller['standard_error']:.1f}"
    tuning = f"{controller['tuning_episodes']:,} episodes"
    rows.append(
        ["controller with 12 gains", mean, share([controller["crash_rate"]]), "", "", tuning]
    )
    return rows


def facts(kind: str) -> dict[str, str]:
    """Return the numbers that the README states of an action space beside the table."""
    runs = read(RESULTS / f"headline-{kind}.json")["runs"]
    expert = read(ROOT / f"datasets/policies/expert-{kind}.json")
    last = [run["last"] for run in runs]
    falls = [run["worst_drop"] for run in runs]
    gain = np.mean([found["mean"] for found in last]) - expert["mean"]
    fuel = expert["fuel"] - np.mean([found["fuel"] for found in last])
    return {
        "validation episodes per run": f"{mean_cost(runs, 'validation_episodes'):,}",
        "env steps of validation": f"{mean_cost(runs, 'validation_steps') / 1e6:.2f} million",
        "largest fall of a validation, median seed": f"{np.median(falls):.0f}",
        "largest fall of a validation, worst seed": f"{max(falls):.0f}",
        "`last` minus the expert": f"{gain:.1f}",
        "of it fuel": f"{fuel:.1f}",
        "behavior cloning": ", ".join(
            f"{run['last']['mean']:.1f}" for run in read(RESULTS / f"bc-{kind}.json")["runs"]
        ),
    }


def variants() -> dict[str, str]:
    """Return what two changes to the preset gave, beside the same ten seeds without the change."""
    lines = {}
    for kind, name in (
        ("discrete", "discrete-no-forward-kl"),
        ("continuous", "continuous-cloning"),
    ):
        preset, changed = (
            read(RESULTS / f"{file}.json")["runs"] for file in (f"headline-{kind}", name)
        )
        best = [run["best"] for run in changed]
        last = [run["last"] for run in changed]
        before = [run["before_online"] for run in changed]
        worth = [b - run["best"]["mean"] for b, run in zip(best, preset, strict=True)]
        lines[name] = (
            f"before online {seeds(before)}, best {seeds(best)}, last {seeds(last)}; "
            f"best minus that of the preset, paired by seed: {np.mean(worth):.1f}"
        )
    return lines


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown whose first column is text and whose others are numbers."""
    lines = [HEADINGS, ("---", *["---:"] * (len(HEADINGS) - 1)), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    print(markdown(table()))
    for title, found in {**{kind: facts(kind) for kind in KINDS}, "variants": variants()}.items():
        print(f"\n{title}")
        for name, value in found.items():
            print(f"- {name}: {value}")

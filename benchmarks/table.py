"""The tables of benchmarks/README.md, from benchmarks/results: python benchmarks/table.py."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lunar_offline.statistics import Estimate

RESULTS = Path(__file__).parent / "results"
UPDATES = (
    ("CQL(H), continuous, 10 proposals x 3", "cql-continuous", "d3rlpy", "d3rlpy 2.8.1 CQL"),
    ("CQL(H), continuous, 10 proposals x 3", "cql-continuous", "corl", "CORL CQL"),
    ("SAC, continuous", "sac-continuous", "sb3", "SB3 2.9.2 SAC"),
    ("CQL-SAC, discrete", "cql-discrete", "d3rlpy", "d3rlpy 2.8.1 DiscreteSAC"),
)


def read(name: str) -> Any:
    """Read one result."""
    return json.loads((RESULTS / f"{name}.json").read_text())


def times(result: dict[str, float]) -> str:
    """Write a ratio with its quartiles."""
    return f"{result['ratio']:.2f} [{result['quartile_low']:.2f}, {result['quartile_high']:.2f}]"


def table(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table whose first column is text and whose others are numbers."""
    print(f"\n{title}\n\n| {' | '.join(headings)} |\n| --- |{' ---: |' * (len(headings) - 1)}")
    for row in rows:
        print(f"| {' | '.join(row)} |")


def main() -> None:
    """Print all tables."""
    startup, cores, seconds = read("startup"), read("two-cores"), read("wall-clock")
    speeds = [
        [f"{work}, against {title}", times(read(f"{name}-{peer}")), f"`updates.py {name} {peer}`"]
        for work, name, peer, title in UPDATES
    ]
    speeds.append(["`lunar-offline --help`, against `minari`", times(startup), "`startup.py`"])
    table("speed", ["an update of", "times as fast", "command in `benchmarks/`"], speeds)
    print(f"\nstart {startup['seconds']:.2f} s, wall clock {seconds['runs']}")
    where = read("where-time-goes")
    works = where["updates"]
    parts = [[p, *(f"{w[p]:.2f}" for w in works.values())] for p in next(iter(works.values()))]
    table("update", ["ms", *works], parts)
    online, total = where["online_step"], sum(where["online_step"].values())
    steps = [[part, f"{ms:.2f}", f"{ms / total:.0%}"] for part, ms in online.items()]
    table("online step", ["part", "ms", "share"], steps)
    rows = [
        ["two runs side by side, time of one", times(cores["side_by_side_over_alone"])],
        *(
            [f"an update with two threads, speed: {work}", times(result)]
            for work, result in cores["two_threads"].items()
        ),
        ["an evaluation in two processes, speed", times(cores["two_processes_evaluation"])],
    ]
    table("two cores", ["against one", "ratio"], rows)
    check = read("bf16-check-lunar-sac-v0")
    means = [[p, f"{check[p]['mean']}", f"{check[p]['interval']}"] for p in ("fp32", "bf16")]
    table("bf16", ["operands", "mean over seeds", "95% interval"], means)
    learning_tables()


def learning_tables() -> None:
    """Print what options are worth, what values predict, and what proposals cost."""
    rows = read("ablations-lunar-sac-v0")["rows"]
    worth = [
        [
            row["change"],
            f"{row['best']}",
            *(
                str(Estimate(**row[key])) if key in row else ""
                for key in ("best_worth", "last_worth")
            ),
        ]
        for row in rows
    ]
    headings = ["preset with", "mean of best", "worth, best", "worth, last"]
    table(f"ablations, {rows[0]['seeds']} seeds", headings, worth)
    rows = read("table4")["rows"]
    for tier in dict.fromkeys(row["tier"] for row in rows):
        lines = [
            [
                row["method"],
                *(f"{row[f'initial_{key}']['value']:.0f}" for key in ("predicted", "true")),
                *(str(Estimate(**row[key])) for key in ("initial_gap", "replayed_gap", "mean")),
            ]
            for row in rows
            if row["tier"] == tier
        ]
        headings = ["predicted", "true", "gap, initial states", "gap, within episodes", "return"]
        table(f"Table 4, {rows[0]['seeds']} seeds", [f"`{tier}`", *headings], lines)
    kinds = [
        [
            f"{line['n']} x 3, {line['kind']}",
            *(f"{line[k]:.2f}" for k in ("variance", "bias", "per_row")),
        ]
        for line in read("proposals")["lines"]
    ]
    table("proposals", ["proposals", "variance", "bias", "variance per row"], kinds)


main()

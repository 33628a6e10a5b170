"""Markdown table of the speeds in benchmarks/results: python benchmarks/table.py."""

import json
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
UPDATES = (
    ("CQL(H), continuous, 10 proposals x 3", "cql-continuous", "d3rlpy", "d3rlpy 2.8.1 CQL"),
    ("CQL(H), continuous, 10 proposals x 3", "cql-continuous", "corl", "CORL CQL"),
    ("SAC, continuous", "sac-continuous", "sb3", "SB3 2.9.2 SAC"),
    ("CQL-SAC, discrete", "cql-discrete", "d3rlpy", "d3rlpy 2.8.1 DiscreteSAC"),
)


def times(result: dict[str, float]) -> str:
    """Write a ratio with its quartiles."""
    return f"{result['ratio']:.2f} [{result['quartile_low']:.2f}, {result['quartile_high']:.2f}]"


def read(name: str) -> dict:
    """Read one result."""
    return json.loads((RESULTS / f"{name}.json").read_text())


def main() -> None:
    """Print a line per command."""
    print("| work | against | times as fast | command |")
    print("| --- | --- | ---: | --- |")
    for work, name, peer, title in UPDATES:
        ratio = times(read(f"{name}-{peer}"))
        print(f"| {work} | {title} | {ratio} | `benchmarks/updates.py {name} {peer}` |")
    startup = read("startup")
    print(
        f"| `lunar-offline --help`: {startup['seconds']:.2f} s | `minari --help` | "
        f"{times(startup)} | `benchmarks/startup.py` |"
    )
    cores = read("two-cores")
    print(
        f"| 400 held-out episodes, two processes | one | "
        f"{times(cores['two_processes_evaluation'])} | `benchmarks/two_cores.py` |"
    )
    for work, result in cores["two_threads"].items():
        print(
            f"| update, two threads: {work} | one | {times(result)} | `benchmarks/two_cores.py` |"
        )
    print(
        f"| one of two runs side by side | a run alone | "
        f"{1 / cores['side_by_side_over_alone']['ratio']:.2f} | `benchmarks/two_cores.py` |"
    )


main()

"""Pairs of commands on pinned cores, alternated, and the spread of their ratios."""

import json
import os
import platform
import subprocess
import sys
import venv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
ENVIRONMENTS = HERE / ".environments"
RESULTS = HERE / "results"


def peer_python(name: str, packages: list[str]) -> Path:
    """Return the Python of a peer's own environment, making it when it is missing."""
    home = ENVIRONMENTS / name
    python, done = home / "bin" / "python", home / "installed"
    wanted = "\n".join(packages)
    if not (done.is_file() and done.read_text() == wanted):
        print(f"installing {' '.join(packages)} into {home}", file=sys.stderr)
        venv.create(home, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
        done.write_text(wanted)
    return python


class Worker:
    """A process of workers/, one thread per core, that answers how long so many calls took."""

    def __init__(self, python: Path | str, script: str, work: str, *cores: int) -> None:
        threads = str(len(cores))
        environment = {name: threads for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
        self.process = subprocess.Popen(
            [python, HERE / "workers" / script, work],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | environment | {"BENCH_CORES": ",".join(map(str, cores))},
        )
        if self._answer() != "ready":
            raise SystemExit(f"{script} {work} did not start")

    def _answer(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def start(self, calls: int) -> None:
        """Let so many calls run."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{calls}\n")
        self.process.stdin.flush()

    def finish(self) -> float:
        """Return the seconds that the started calls took."""
        return float(self._answer())

    def seconds(self, calls: int) -> float:
        """Run so many calls and return their seconds."""
        self.start(calls)
        return self.finish()

    def close(self) -> None:
        """End the process."""
        self.process.communicate()


@dataclass(frozen=True)
class Ratios:
    """Paired ratios peer / ours: above 1, ours is faster."""

    ours: list[float]
    peer: list[float]

    def summary(self) -> dict[str, float]:
        """Median ratio with its quartiles, and the median rates in calls per second."""
        return spread(self.peer, self.ours) | {
            "ours_per_s": round(1 / float(np.median(self.ours)), 2),
            "peer_per_s": round(1 / float(np.median(self.peer)), 2),
        }


def spread(above: Sequence[float], below: Sequence[float]) -> dict[str, float]:
    """Return the median of the paired ratios above / below, with its quartiles."""
    ratio = np.asarray(above) / np.asarray(below)
    low, middle, high = np.quantile(ratio, [0.25, 0.5, 0.75])
    return {
        "ratio": round(float(middle), 3),
        "quartile_low": round(float(low), 3),
        "quartile_high": round(float(high), 3),
        "pairs": len(ratio),
    }


def paired(ours: Worker, peer: Worker, *, pairs: int, seconds: float) -> Ratios:
    """Alternate both sides, the order swapped from pair to pair, each for about `seconds`."""
    calls = {}
    for side in (ours, peer):
        side.seconds(5)
        calls[side] = max(1, round(seconds / (side.seconds(5) / 5)))
    times: dict[Worker, list[float]] = {ours: [], peer: []}
    for pair in range(pairs):
        for side in (ours, peer) if pair % 2 else (peer, ours):
            times[side].append(side.seconds(calls[side]) / calls[side])
    return Ratios(times[ours], times[peer])


def compact_json(value: dict[str, Any]) -> str:
    """Return JSON with a line per key and, where the value is a list, a line per member."""

    def plain(inner: Any) -> str:
        return json.dumps(inner, separators=(",", ":"), allow_nan=False)

    lines = []
    for name, inner in value.items():
        shown = plain(inner)
        if isinstance(inner, list):
            shown = "[\n" + ",\n".join(map(plain, inner)) + "\n]"
        lines.append(f"{plain(name)}:{shown}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def write(name: str, result: dict[str, Any]) -> None:
    """Print a result and write it, with the machine, to results/NAME.json."""
    RESULTS.mkdir(exist_ok=True)
    flags = Path("/proc/cpuinfo").read_text() if sys.platform == "linux" else ""
    machine = {
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "avx512": "avx512f" in flags,
        "amx": "amx_tile" in flags,
        "python": platform.python_version(),
    }
    text = json.dumps(result | {"machine": machine}, indent=1)
    (RESULTS / f"{name}.json").write_text(text + "\n")
    print(text)
